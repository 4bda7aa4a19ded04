// bench/measure_plan/prompts.h -- seeded long prompts of several kinds, built for a length in tokens.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/model.h"

namespace tmx {

enum class prompt_kind : uint8_t {
    key_value,  // a JSON object of random keys and values; asked: the value of one key
    needle,     // a long text with one sentence hidden in it; asked: what it said
    question,   // a long text; asked: something about it (seven questions, one of them a summary)
};

constexpr prompt_kind k_all_kinds[] = {prompt_kind::key_value, prompt_kind::needle, prompt_kind::question};
const char * name_of(prompt_kind kind);

struct built_prompt {
    std::vector<token_id> ids;  // chat template around the text, then the beginning of the answer
    std::string answer;         // what a right answer contains; "" if there is no single one
};

// Texts that documents are made of: the named files of `folder`, whole. ERRORS failure: one of them is missing.
std::vector<std::string> read_texts(const std::string & folder, const std::vector<std::string> & files);

// The prompt of that kind with the most filling that stays within n_tokens. The same arguments give the same tokens.
// REQUIRES texts not empty and, together, long enough for n_tokens (they are repeated if not).
built_prompt build_prompt(const model & m, prompt_kind kind, int64_t n_tokens, uint64_t seed,
                          const std::vector<std::string> & texts);

}  // namespace tmx
