#include "runtime/session.h"

#include <llama.h>
#include <sched.h>

#include <algorithm>
#include <thread>

#include "runtime/attention_tap.h"
#include "runtime/backend.h"
#include "runtime/failure.h"
#include "trianglemix/backend_control.h"

namespace tmx {
namespace {

// Below our backend's least rows for prefill, with a margin for whoever lowers them a little.
constexpr size_t k_forced_piece = TMX_DEFAULT_MIN_ROWS / 2;

ggml_type ggml_kv_type(kv_type type) {
    switch (type) {
        case kv_type::f16:
            return GGML_TYPE_F16;
        case kv_type::q8_0:
            return GGML_TYPE_Q8_0;
        case kv_type::f32:
            return GGML_TYPE_F32;
        case kv_type::bf16:
            return GGML_TYPE_BF16;
    }
    return GGML_TYPE_F16;
}

// Behind what the batch holds. REQUIRES room for it.
void add_token(llama_batch & batch, token_id token, int64_t position, int32_t sequence, bool logits) {
    const int32_t i = batch.n_tokens++;
    batch.token[i] = token;
    batch.pos[i] = static_cast<llama_pos>(position);
    batch.n_seq_id[i] = 1;
    batch.seq_id[i][0] = sequence;
    batch.logits[i] = static_cast<int8_t>(logits);
}

}  // namespace

int32_t hardware_threads() {
    cpu_set_t allowed;
    CPU_ZERO(&allowed);
    if (sched_getaffinity(0, sizeof(allowed), &allowed) == 0) {
        return std::max(1, CPU_COUNT(&allowed));
    }
    return std::max(1, static_cast<int32_t>(std::thread::hardware_concurrency()));
}

void session::free_context::operator()(llama_context * context) const {
    llama_free(context);
}

session::session(const model & m, const context_options & options, int64_t backend_context)
    : model_(m), options_(options), backend_context_(backend_context) {
    if (options_.n_ctx <= 0) {
        options_.n_ctx = m.facts().n_ctx_train;
    }
    options_.n_threads = options_.n_threads > 0 ? options_.n_threads : hardware_threads();
    options_.n_ubatch = std::clamp(options_.n_ubatch, 1, std::max(options_.n_ctx, 1));
    llama_context_params params = llama_context_default_params();
    options_.n_sequences = std::clamp(options_.n_sequences, 1, static_cast<int32_t>(k_forced_piece));
    n_tokens_.assign(static_cast<size_t>(options_.n_sequences), 0);
    params.n_ctx = static_cast<uint32_t>(options_.n_ctx) * static_cast<uint32_t>(options_.n_sequences);
    params.n_batch = static_cast<uint32_t>(options_.n_ubatch);
    params.n_ubatch = static_cast<uint32_t>(options_.n_ubatch);
    params.n_seq_max = static_cast<uint32_t>(options_.n_sequences);
    params.kv_unified = false;  // a prompt sees nothing of the others, so it costs what it costs alone
    // The most rows that ever ask for logits at once; llama.cpp sizes its output buffers by it.
    params.n_outputs_max = k_forced_piece;
    params.n_threads = options_.n_threads;
    params.n_threads_batch = options_.n_threads;
    params.flash_attn_type = options_.flash_attention ? LLAMA_FLASH_ATTN_TYPE_ENABLED : LLAMA_FLASH_ATTN_TYPE_DISABLED;
    params.type_k = ggml_kv_type(options_.kv);
    params.type_v = ggml_kv_type(options_.kv);
    params.no_perf = true;
    if (options_.stop != nullptr) {
        params.abort_callback = [](void * data) {
            return static_cast<const std::atomic<bool> *>(data)->load(std::memory_order_relaxed);
        };
        params.abort_callback_data = const_cast<std::atomic<bool> *>(options_.stop);
    }
    if (options_.tap != nullptr) {
        params.cb_eval = attention_tap::on_node;
        params.cb_eval_user_data = options_.tap;
    }
    recent_log();
    context_.reset(llama_init_from_model(m.handle(), params));
    if (context_ == nullptr) {
        throw failure("llama.cpp could not make a context of " + std::to_string(options_.n_sequences) + " x " +
                      std::to_string(options_.n_ctx) + " tokens for " + m.facts().path +
                      " (out of memory, or a KV cache type that needs flash attention)\n" + recent_log());
    }
}

int32_t session::n_ctx() const {
    return static_cast<int32_t>(llama_n_ctx_seq(context_.get()));
}

void session::evaluate(std::span<const token_id> tokens, bool all_logits, bool last_logits) {
    const auto n = static_cast<int32_t>(tokens.size());
    llama_batch batch = llama_batch_init(n, 0, 1);
    for (int32_t i = 0; i < n; ++i) {
        add_token(batch, tokens[static_cast<size_t>(i)], n_tokens() + i, chosen_,
                  all_logits || (last_logits && i == n - 1));
    }
    decode_batch(batch, n_tokens());
    n_tokens_[static_cast<size_t>(chosen_)] += n;
}

// Frees the batch. position: of its first token, for errors.
void session::decode_batch(const llama_batch & batch, int64_t position) {
    const int32_t n = batch.n_tokens;
    const int32_t result = llama_decode(context_.get(), batch);
    llama_batch_free(batch);
    if (result == 2 || (options_.stop != nullptr && options_.stop->load(std::memory_order_relaxed))) {
        throw interrupted();
    }
    if (result == 1) {
        throw failure("the context of " + std::to_string(n_ctx()) + " tokens is full: no room for " +
                      std::to_string(n) + " more behind " + std::to_string(position));
    }
    if (result != 0) {
        throw failure("llama.cpp failed to evaluate " + std::to_string(n) + " tokens at position " +
                      std::to_string(position) + " (code " + std::to_string(result) + ")\n" + recent_log());
    }
}

void session::prefill(std::span<const token_id> prompt, std::span<const index_range> chunks,
                      const std::function<void(int64_t)> & progress, int64_t n_there) {
    if (n_there == 0) {
        clear();
    }
    for (const index_range & chunk : chunks) {
        if (chunk.end <= n_there) {
            continue;
        }
        const bool final_chunk = chunk.end == static_cast<int64_t>(prompt.size());
        evaluate(prompt.subspan(static_cast<size_t>(chunk.begin), static_cast<size_t>(chunk.size())), false,
                 final_chunk);
        if (progress) {
            progress(chunk.end);
        }
    }
}

void session::decode(token_id token) {
    evaluate({&token, 1}, false, true);
}

void session::decode_together(std::span<const sequence_token> tokens) {
    llama_batch batch = llama_batch_init(static_cast<int32_t>(tokens.size()), 0, 1);
    for (const sequence_token & each : tokens) {
        add_token(batch, each.token, n_tokens_[static_cast<size_t>(each.sequence)], each.sequence, true);
    }
    decode_batch(batch, tokens.empty() ? 0 : batch.pos[0]);
    for (const sequence_token & each : tokens) {
        ++n_tokens_[static_cast<size_t>(each.sequence)];
    }
}

std::span<const float> session::logits_of(size_t i) const {
    const float * logits = llama_get_logits_ith(context_.get(), static_cast<int32_t>(i));
    if (logits == nullptr) {
        throw failure("llama.cpp has no logits for token " + std::to_string(i) + " of an evaluation");
    }
    return {logits, static_cast<size_t>(model_.facts().n_vocab)};
}

std::span<const float> session::last_logits() const {
    const float * logits = llama_get_logits_ith(context_.get(), -1);
    if (logits == nullptr) {
        throw failure("llama.cpp has no logits for the last token");
    }
    return {logits, static_cast<size_t>(model_.facts().n_vocab)};
}

bool session::roll_back(int64_t n_tokens) {
    if (!llama_memory_seq_rm(llama_get_memory(context_.get()), chosen_, static_cast<llama_pos>(n_tokens), -1)) {
        return false;
    }
    int64_t & there = n_tokens_[static_cast<size_t>(chosen_)];
    there = std::min(there, n_tokens);
    return true;
}

logit_rows session::force(std::span<const token_id> tokens) {
    logit_rows rows;
    rows.reserve(tokens.size());
    while (!tokens.empty()) {
        const std::span<const token_id> piece = tokens.first(std::min(k_forced_piece, tokens.size()));
        evaluate(piece, true, true);
        for (size_t i = 0; i < piece.size(); ++i) {
            const std::span<const float> logits = logits_of(i);
            rows.emplace_back(logits.begin(), logits.end());
        }
        tokens = tokens.subspan(piece.size());
    }
    return rows;
}

void session::clear() {
    if (options_.n_sequences == 1) {
        llama_memory_clear(llama_get_memory(context_.get()), true);
    } else {
        llama_memory_seq_rm(llama_get_memory(context_.get()), chosen_, -1, -1);
    }
    n_tokens_[static_cast<size_t>(chosen_)] = 0;
}

void session::warm_up() {
    const token_id any = 0;
    const std::vector<token_id> few(std::min<size_t>(16, static_cast<size_t>(options_.n_ubatch)), any);
    evaluate(few, false, true);
    llama_synchronize(context_.get());
    clear();
}

}  // namespace tmx
