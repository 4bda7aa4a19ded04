// runtime/arm.h -- one way of computing a prompt (stock llama.cpp, ours exact, ours with a plan), set up and timed the
// same way for every program that compares ways.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>

#include "runtime/backend.h"
#include "runtime/model.h"
#include "runtime/program.h"
#include "runtime/session.h"

namespace tmx {

struct arm {
    std::string name;                 // as shown
    bool ours = true;                 // false: llama.cpp alone
    std::string plan_json;            // "" = exact
    std::string precision = "exact";  // "exact", "fast"; only where ours
    int64_t min_last = 0;             // least rows of the last chunk: the plan's `last`
    context_options context;
};

// A session that computes as the arm says, whatever others do; but on the CPU, a session of the stock arm and one of
// ours cannot compute at the same time (backend::set_enabled is the process's).
// ERRORS   failure; interrupted.
std::unique_ptr<session> open_arm(backend & b, const model & m, const arm & a);

struct timed_prefill {
    double seconds = 0;  // from the first token in to the first token chosen (TTFT without tokenising and loading)
    token_id first = 0;  // the first token, greedy
};

// REQUIRES a session of open_arm(b, m, a). progress and n_there as in session::prefill, with the chunks of
// chunks_of_arm().
// ERRORS   failure, where an arm that is not ours went through our backend, too.
timed_prefill prefill_arm(backend & b, const arm & a, session & s, std::span<const token_id> prompt,
                          const std::function<void(int64_t)> & progress = {}, int64_t n_there = 0);
std::vector<index_range> chunks_of_arm(const arm & a, int64_t n_prompt);

// Greedy answer behind a prefill whose first token is `first`: at most n_max tokens, the end token not included.
// on_token: called with each token as it is known; may be empty.
struct greedy_answer {
    std::vector<token_id> tokens;
    bool ended = false;  // the model ended it, not n_max or the context
    double seconds = 0;  // decoding time of n_decoded evaluations
    int64_t n_decoded = 0;
};
greedy_answer decode_answer(const model & m, session & s, token_id first, int64_t n_max,
                            const std::function<void(token_id)> & on_token = {});

}  // namespace tmx
