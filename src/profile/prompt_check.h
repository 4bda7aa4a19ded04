// profile/prompt_check.h -- whether a run's prompts can tell anything, asked before anything is measured.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "profile/prompt_pool.h"
#include "profile/settings.h"

namespace tmx {

struct prompt_size {
    std::string name;
    int64_t n_tokens = 0;
    bool held_out = false;
};
std::vector<prompt_size> sizes_of(const prompt_pool & prompts);

// ERRORS failure: so many prompt tokens, and those that follow, do not fit the context (settings.n_ctx, or what the
// model was trained for).
void check_fits(const std::string & what, int64_t n_tokens, const profile_settings & settings, int64_t n_ctx_train);

// Returns notes for people: which prompts tell nothing.
// ERRORS failure: one does not fit the context; a triangle layer skips nothing in any of those that choose, or of those
// that check; or what the settings ask for needs prompts that check, and there are none.
std::vector<std::string> check_prompts(std::span<const prompt_size> prompts, const profile_settings & settings,
                                       int64_t n_ctx_train);

}  // namespace tmx
