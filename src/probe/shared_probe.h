// probe/shared_probe.h -- the probe that the stages of a run share, opened when a measurement first needs it.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "probe/model_file.h"
#include "probe/probe_model.h"

namespace tmx {

class shared_probe {
  public:
    // device: as open_probe_device() takes it.
    shared_probe(std::string model_path, std::string device, probe_options options);

    // told: gets what the user should know, when the probe is opened. progress: of the calls that follow, until the
    // next get(). ERRORS failure.
    probe_model & get(const std::function<void(const std::string & note)> & told,
                      std::function<void(double share)> progress);

  private:
    std::string model_path_;
    std::string device_;
    probe_options options_;
    std::unique_ptr<model_file> file_;
    std::unique_ptr<probe_model> probe_;
};

}  // namespace tmx
