// runtime/session.h -- one llama.cpp context over a model: prefill a prompt in chunks, read logits, decode greedily,
// force a continuation. One sequence.
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

struct llama_context;

namespace tmx {

class attention_tap;

enum class kv_type : uint8_t { f16, q8_0, f32, bf16 };

struct context_options {
    int32_t n_ctx = 0;            // tokens; 0: the model's training length
    int32_t n_ubatch = 2048;      // most prompt tokens of one evaluation
    int32_t n_threads = 0;        // 0: hardware threads
    bool flash_attention = true;  // our backend only sees attention when it is on
    kv_type kv = kv_type::f16;
    const std::atomic<bool> * stop = nullptr;  // becomes true: the running call ends soon and throws `interrupted`
    attention_tap * tap = nullptr;             // is shown what attention is given; attention_tap.h
};

// REQUIRES the model to outlive it. backend::set_enabled decides, at construction, whether our backend takes part.
// backend_context: what backend::begin_context gave for it; 0: our backend is not loaded, or need not know it.
// ERRORS   failure, with what llama.cpp said; interrupted.
// THREADS  One call at a time.
class session {
  public:
    session(const model & m, const context_options & options, int64_t backend_context = 0);

    // Forgets everything and feeds the prompt, chunk by chunk; then last_logits() is the first token's distribution.
    // progress: called after each chunk with the tokens done so far; may be empty.
    void prefill(std::span<const token_id> prompt, std::span<const index_range> chunks,
                 const std::function<void(int64_t)> & progress = {});

    // Appends one token, decoded densely.
    void decode(token_id token);

    // Logits behind the last token that prefill, decode or force was given; [n_vocab], valid until the next call.
    std::span<const float> last_logits() const;

    // Takes back every token from position `n_tokens` on. False if this model's memory cannot (recurrent models).
    bool roll_back(int64_t n_tokens);

    // Feeds `tokens` and returns the logits behind each of them. They go through in pieces smaller than what our
    // backend takes for prefill (TMX_DEFAULT_MIN_ROWS), and ask for all logits, so they always attend densely.
    logit_rows force(std::span<const token_id> tokens);

    void clear();
    void warm_up();  // touches weights and buffers, then clears: the first timing is not the slowest
    int64_t n_tokens() const { return n_tokens_; }
    int32_t n_ctx() const;
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
    int64_t n_tokens_ = 0;

    void evaluate(std::span<const token_id> tokens, bool all_logits, bool last_logits);
};

int32_t hardware_threads();  // usable by this process (affinity respected), at least 1

}  // namespace tmx
