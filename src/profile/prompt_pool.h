// profile/prompt_pool.h -- the prompts of a run, made when they are first needed.
#pragma once

#include <map>
#include <vector>

#include "profile/prompt_list.h"

namespace tmx {

// REQUIRES model and settings to outlive it.
class prompt_pool {
  public:
    prompt_pool(const model & m, const prompt_settings & settings);

    const std::vector<prompt_spec> & specs() const { return specs_; }
    std::vector<size_t> numbers(bool held_out) const;  // into specs()

    const probe_prompt & prompt(size_t number);  // ERRORS failure
    int64_t n_tokens(size_t number) { return static_cast<int64_t>(prompt(number).ids.size()); }

  private:
    const model & model_;
    const prompt_settings & settings_;
    std::vector<prompt_spec> specs_;
    std::map<size_t, probe_prompt> made_;
};

}  // namespace tmx
