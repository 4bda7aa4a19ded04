// prompts/prompt_pool.h -- the prompts of a run, all made before anything is measured.
#pragma once

#include <string>
#include <vector>

#include "prompts/prompt_list.h"

namespace tmx {

class prompt_pool {
  public:
    // ERRORS failure: one of them cannot be made.
    prompt_pool(const model & m, const prompt_settings & settings);

    const std::vector<prompt_spec> & specs() const { return specs_; }
    std::vector<size_t> numbers(bool held_out) const;  // into specs()
    // The questions about the context of that one, which is among them; in their order.
    std::vector<size_t> about_context_of(size_t number) const;

    // What the user should know about how they were made.
    const std::vector<std::string> & notes() const { return notes_; }

    const probe_prompt & prompt(size_t number) const { return made_[number]; }
    int64_t n_tokens(size_t number) const { return static_cast<int64_t>(made_[number].ids.size()); }

  private:
    std::vector<prompt_spec> specs_;
    std::vector<probe_prompt> made_;  // [specs_]
    std::vector<std::string> notes_;
};

}  // namespace tmx
