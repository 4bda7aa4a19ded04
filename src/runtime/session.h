// runtime/session.h -- one llama.cpp context over a model: prefill a prompt in chunks, read logits, decode greedily,
// force a continuation. One sequence, or several that are answered together.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "runtime/chunks.h"
#include "runtime/fidelity.h"
#include "runtime/model.h"

struct llama_batch;
struct llama_context;

namespace tmx {

class attention_tap;

enum class kv_type : uint8_t { f16, q8_0, f32, bf16 };

struct context_options {
    int32_t n_ctx = 0;            // tokens of each sequence; 0: the model's training length
    int32_t n_sequences = 1;      // each with room of its own; at most 32
    int32_t n_ubatch = 2048;      // most prompt tokens of one evaluation
    int32_t n_threads = 0;        // 0: hardware threads
    bool flash_attention = true;  // our backend only sees attention when it is on
    kv_type kv = kv_type::f16;
    const std::atomic<bool> * stop = nullptr;  // becomes true: the running call ends soon and throws `interrupted`
    attention_tap * tap = nullptr;             // is shown what attention is given; attention_tap.h
};

// A context of that many tokens, in whole multiples of 256, to which llama.cpp rounds it up.
constexpr int32_t context_for(int64_t n_tokens) {
    return static_cast<int32_t>((n_tokens + 255) / 256 * 256);
}

// REQUIRES the model to outlive it. backend::set_enabled decides, at construction, whether our backend takes part.
// backend_context: what backend::begin_context gave for it; 0: our backend is not loaded, or need not know it.
// ERRORS   failure, with what llama.cpp said; interrupted.
// THREADS  One call at a time.
class session {
  public:
    session(const model & m, const context_options & options, int64_t backend_context = 0);

    // Which sequence the calls below are about, but for decode_together; at first 0.
    void choose(int32_t sequence) { chosen_ = sequence; }

    // Forgets the sequence and feeds the prompt, chunk by chunk; then last_logits() is the first token's distribution.
    // progress: called after each chunk with the tokens done so far; may be empty.
    // n_there: the sequence holds so many of the prompt's tokens and no others, whole chunks, and they stay.
    void prefill(std::span<const token_id> prompt, std::span<const index_range> chunks,
                 const std::function<void(int64_t)> & progress = {}, int64_t n_there = 0);

    // Appends one token, decoded densely.
    void decode(token_id token);

    // Appends one token to each of several sequences, different ones in ascending order; all decoded densely, in one
    // evaluation.
    struct sequence_token {
        int32_t sequence;
        token_id token;
    };
    void decode_together(std::span<const sequence_token> tokens);
    std::span<const float> logits_of(size_t i) const;  // behind the i-th of them, valid until the next call

    // Logits behind the last token that prefill, decode or force was given; [n_vocab], valid until the next call.
    std::span<const float> last_logits() const;

    // Takes back every token from position `n_tokens` on. False if this model's memory cannot (recurrent models).
    bool roll_back(int64_t n_tokens);

    // Feeds `tokens` and returns the logits behind each of them. They go through in pieces smaller than what our
    // backend takes for prefill (TMX_DEFAULT_MIN_ROWS), and ask for all logits, so they always attend densely.
    logit_rows force(std::span<const token_id> tokens);

    void clear();    // the sequence
    void warm_up();  // touches weights and buffers, then clears: the first timing is not the slowest
    int64_t n_tokens() const { return n_tokens_[static_cast<size_t>(chosen_)]; }
    int32_t n_ctx() const;  // of each sequence
    const context_options & options() const { return options_; }
    int64_t backend_context() const { return backend_context_; }

  private:
    struct free_context {
        void operator()(llama_context * context) const;
    };
    const model & model_;
    context_options options_;
    int64_t backend_context_;
    std::unique_ptr<llama_context, free_context> context_;
    std::vector<int64_t> n_tokens_;  // of each sequence
    int32_t chosen_ = 0;

    void evaluate(std::span<const token_id> tokens, bool all_logits, bool last_logits);
    void decode_batch(const llama_batch & batch, int64_t position);
};

int32_t hardware_threads();  // usable by this process (affinity respected), at least 1

}  // namespace tmx
