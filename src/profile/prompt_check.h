// profile/prompt_check.h -- whether a run's prompts can tell anything, asked before anything is measured.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "profile/settings.h"
#include "prompts/prompt_pool.h"
#include "trianglemix/backend_control.h"

namespace tmx {

// Tokens of a made prompt: what is shorter the backend leaves to llama.cpp.
constexpr int64_t k_shortest_made_prompt = TMX_DEFAULT_MIN_ROWS;

struct prompt_size {
    std::string name;
    int64_t n_tokens = 0;
    bool held_out = false;
};
std::vector<prompt_size> sizes_of(const prompt_pool & prompts);

// Lengths of made prompts where none are given: the longest that the context leaves room for, but at most 8192 tokens,
// and half of it. Longer ones would tell more, and each doubling takes three times as long: at 8192 a run takes half an
// hour or more on two cores even with a model of 135M parameters. Quick: one length, at most 2048.
std::vector<int64_t> default_lengths(const profile_settings & settings, int64_t n_ctx_train);

// ERRORS failure: so many prompt tokens, and those that follow, do not fit the context (settings.n_ctx, or what the
// model was trained for).
void check_fits(const std::string & what, int64_t n_tokens, const profile_settings & settings, int64_t n_ctx_train);

// Returns notes for people: which prompts tell nothing.
// ERRORS failure: one does not fit the context; a triangle layer skips nothing in any of those that choose, or of those
// that check; or what the settings ask for needs prompts that check, and there are none.
std::vector<std::string> check_prompts(std::span<const prompt_size> prompts, const profile_settings & settings,
                                       int64_t n_ctx_train);

}  // namespace tmx
