#include "runtime/arm.h"

#include <chrono>

#include "runtime/failure.h"
#include "runtime/statistics.h"

namespace tmx {

namespace {

// A yardstick that went through what it is to measure is none.
void check_alone(const backend & b, const arm & a) {
    const backend_statistics s = parse_statistics(b.statistics());
    if (s.n_triangle + s.n_dense + s.n_whole_graphs > 0) {
        throw failure("'" + a.name + "' is to be llama.cpp alone, but went through the TriangleMix backend");
    }
}

}  // namespace

double seconds_now() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

std::unique_ptr<session> open_arm(backend & b, const model & m, const arm & a) {
    if (b.loaded()) {
        b.set_enabled(a.ours);
        b.set_plan(a.ours ? a.plan_json : std::string());
        b.set_precision(a.ours ? a.precision : "exact");
        b.set_prompt_length(-1);
    } else if (a.ours) {
        throw failure("'" + a.name + "' needs the TriangleMix backend, which is not loaded");
    }
    auto opened = std::make_unique<session>(m, a.context);
    opened->warm_up();
    if (b.loaded()) {
        b.reset_statistics();
    }
    return opened;
}

timed_prefill prefill_arm(backend & b, const arm & a, session & s, std::span<const token_id> prompt,
                          const std::function<void(int64_t)> & progress) {
    const auto n_prompt = static_cast<int64_t>(prompt.size());
    if (b.loaded()) {
        b.set_prompt_length(n_prompt);
    }
    s.clear();
    const std::vector<index_range> chunks = cut_chunks(n_prompt, s.options().n_ubatch, a.min_last);
    const double start = seconds_now();
    s.prefill(prompt, chunks, progress);
    const token_id first = argmax(s.last_logits());
    const double seconds = seconds_now() - start;
    if (!a.ours && b.loaded()) {
        check_alone(b, a);
    }
    return {seconds, first};
}

greedy_answer decode_answer(const model & m, session & s, token_id first, int64_t n_max,
                            const std::function<void(token_id)> & on_token) {
    greedy_answer answer;
    token_id next = first;
    while (static_cast<int64_t>(answer.tokens.size()) < n_max) {
        if (m.ends_answer(next)) {
            answer.ended = true;
            break;
        }
        answer.tokens.push_back(next);
        if (on_token) {
            on_token(next);
        }
        if (s.n_tokens() >= s.n_ctx() || static_cast<int64_t>(answer.tokens.size()) == n_max) {
            break;
        }
        const double start = seconds_now();
        s.decode(next);
        next = argmax(s.last_logits());
        answer.seconds += seconds_now() - start;
        ++answer.n_decoded;
    }
    return answer;
}

}  // namespace tmx
