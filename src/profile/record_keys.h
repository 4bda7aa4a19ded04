// profile/record_keys.h -- what names a measurement in the record file: all that its values depend on.
#pragma once

#include <string>

#include "profile/settings.h"
#include "prompts/prompt_list.h"
#include "runtime/backend.h"

namespace tmx {

// Libraries and CPU kernels whose roundings measurements hold.
std::string arithmetic_of(const backend & b);

class record_keys {
  public:
    // arithmetic: of the program's libraries on this machine: versions, CPU kernels.
    record_keys(const profile_settings & settings, const std::string & model_sha256, const std::string & arithmetic);

    std::string gradient(const probe_prompt & prompt) const;
    // way: the set, or what else was computed.
    std::string effect(const probe_prompt & prompt, const std::string & way) const;

  private:
    // Behind the prompt of a gradient: what the probe depends on. An effect's continuation is llama.cpp's, also where
    // the probe computes the effect.
    std::string probe_, llama_;
};

}  // namespace tmx
