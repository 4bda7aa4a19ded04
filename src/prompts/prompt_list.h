// prompts/prompt_list.h -- the prompts of a run, made or the user's: those that choose layers, and those kept back to
// check the choice.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "prompts/builtin_prompts.h"
#include "runtime/model.h"

namespace tmx {

// A line of a --data file: one of `text` and `ids`.
struct data_prompt {
    int64_t line = 0;  // of the file, from 1
    std::string text;
    bool chat_template = true;  // around the text
    std::vector<token_id> ids;  // >= 0
    std::string target_text;    // how a right answer begins; "" if not given
    token_id target = -1;       // ... or its first token
};

// Reads JSON lines: {"prompt": "text"} or {"ids": [1, 2, 3]}, with "chat_template": false, "target": "text" or 17.
// Whether tokens are of the model, make_prompts() says.
// ERRORS failure: names the line and what is wrong with it; unknown keys are errors.
std::vector<data_prompt> read_data_file(const std::string & path);

struct prompt_settings {
    std::vector<prompt_kind> kinds;      // empty: data only
    std::vector<int64_t> lengths;        // tokens
    std::vector<int64_t> check_lengths;  // of prompts kept back; empty: as lengths
    int64_t samples = 4;                 // of each kind and length
    int64_t check_samples = 2;           // of each kind and length, kept back
    int64_t questions = 1;               // that are asked about each of these contexts, a prompt each
    uint64_t seed = 1;
    std::vector<std::string> texts;        // documents are made of them; empty: made prose
    std::vector<std::string> check_texts;  // of prompts kept back; empty: as texts
    std::vector<data_prompt> data;         // every third one is kept back
    std::string data_path;                 // where they come from; "" if there are none
    std::string data_sha256;               // of that file
    bool known_target = false;             // probe the right answer's token where it is known, not the model's own
};

// What is needed to make a prompt, and what names it in records.
struct prompt_spec {
    std::string kind;  // "kv", "needle", "doc", "data"
    int64_t length = 0;
    int64_t sample = 0;
    uint64_t seed = 0;
    bool held_out = false;
    size_t data_index = 0;
    int64_t question = 0;  // of those about the context

    std::string name() const;  // "kv 2048 #0", "kv 2048 #0, question 2"; for people
};

struct probe_prompt {
    std::vector<token_id> ids;
    token_id target = -1;  // < 0: the model's own first token
    std::string key;       // a hash of ids and target, so that records of other tokens are never taken for this one's
};

// Prompts to choose with, then those kept back. Samples vary slowest, so that the first lines of a run cover every kind
// and length; questions about one context stand together.
std::vector<prompt_spec> list_prompts(const prompt_settings & settings);

// All questions about the spec's context, in their order; one of data. ERRORS failure: the prompts cannot be made, or
// data names a token that the model does not have.
std::vector<probe_prompt> make_prompts(const model & m, const prompt_settings & settings, const prompt_spec & spec);

}  // namespace tmx
