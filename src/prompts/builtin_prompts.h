// prompts/builtin_prompts.h -- seeded long prompts of three kinds, built for a length in tokens.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/model.h"

namespace tmx {

enum class prompt_kind : uint8_t {
    kv,      // a JSON object of random keys and values; asked: the value of one key (the paper's probing data)
    needle,  // a long text with one sentence hidden in it; asked: what it said
    doc,     // a long text; asked: something that it says, or a summary
};
constexpr prompt_kind k_all_kinds[] = {prompt_kind::kv, prompt_kind::needle, prompt_kind::doc};
const char * name_of(prompt_kind kind);
prompt_kind parse_prompt_kind(const std::string & text);  // ERRORS failure

struct built_prompt {
    std::vector<token_id> ids;  // chat template around the text, then the beginning of the answer
    std::string answer;         // how a right answer goes on; "" if there is no single one
    token_id target = -1;       // its first token; < 0 if there is none
};

constexpr int64_t k_most_questions = 8;

// Prompts of that kind which ask n_questions questions about one context, with the most filling that keeps all of them
// within n_tokens. They differ only in what stands behind the context. The same arguments give the same tokens.
// texts: what documents are made of; empty: prose that the program makes itself.
// ERRORS failure: n_tokens is too few for the kind. REQUIRES 1 <= n_questions <= k_most_questions
std::vector<built_prompt> build_prompts(const model & m, prompt_kind kind, int64_t n_tokens, uint64_t seed,
                                        const std::vector<std::string> & texts, int64_t n_questions);

}  // namespace tmx
