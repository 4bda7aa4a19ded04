// profile/shared_probe.h -- the probe that the stages of a run share, opened when a measurement first needs it.
#pragma once

#include <memory>

#include "profile/model_file.h"
#include "profile/probe_model.h"
#include "profile/settings.h"
#include "profile/stage_clock.h"

namespace tmx {

// REQUIRES the settings to outlive it.
class shared_probe {
  public:
    explicit shared_probe(const profile_settings & settings) : settings_(settings) {}

    // progress: of the calls that follow, until the next get(). What the user should know goes to the clock.
    // ERRORS failure.
    probe_model & get(stage_clock & clock, std::function<void(double share)> progress);

  private:
    const profile_settings & settings_;
    std::unique_ptr<model_file> file_;
    std::unique_ptr<probe_model> probe_;
};

}  // namespace tmx
