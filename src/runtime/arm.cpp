#include "runtime/arm.h"

#include "runtime/failure.h"
#include "runtime/statistics.h"

namespace tmx {

namespace {

// A yardstick that went through what it is to measure is none.
void check_alone(const backend & b, const arm & a, const session & s) {
    const backend_statistics counted = parse_statistics(b.statistics(s.backend_context()));
    if (counted.n_planned + counted.n_dense + counted.n_whole_graphs > 0) {
        throw failure("'" + a.name + "' is to be llama.cpp alone, but went through the TriangleMix backend");
    }
}

// A context of the backend's that is being made.
class announced_context {
  public:
    explicit announced_context(backend & b) : backend_(b), id_(b.begin_context()) {}
    ~announced_context() {
        if (!made_) {
            try {
                backend_.end_context(id_);
            } catch (const failure &) {  // nothing was made, which is known
            }
        }
    }
    announced_context(const announced_context &) = delete;
    announced_context & operator=(const announced_context &) = delete;

    int64_t id() const { return id_; }
    void made() {
        made_ = true;
        backend_.end_context(id_);
    }

  private:
    backend & backend_;
    int64_t id_;
    bool made_ = false;
};

}  // namespace

std::unique_ptr<session> open_arm(backend & b, const model & m, const arm & a) {
    if (!b.loaded()) {
        if (a.ours) {
            throw failure("'" + a.name + "' needs the TriangleMix backend, which is not loaded");
        }
        auto opened = std::make_unique<session>(m, a.context);
        opened->warm_up();
        return opened;
    }
    b.set_enabled(a.ours);
    announced_context announced(b);
    const int64_t context = announced.id();
    b.set_plan(context, a.ours ? a.plan_json : std::string());
    b.set_precision(context, a.ours ? a.precision : "exact");
    b.set_prompt_length(context, -1);
    auto opened = std::make_unique<session>(m, a.context, context);
    announced.made();
    opened->warm_up();
    b.reset_statistics();  // what nodes were declined is counted for the process
    b.reset_statistics(context);
    return opened;
}

std::vector<index_range> chunks_of_arm(const arm & a, int64_t n_prompt) {
    return cut_chunks(n_prompt, a.context.n_ubatch, a.min_last);
}

timed_prefill prefill_arm(backend & b, const arm & a, session & s, std::span<const token_id> prompt,
                          const std::function<void(int64_t)> & progress, int64_t n_there) {
    const auto n_prompt = static_cast<int64_t>(prompt.size());
    if (b.loaded()) {
        b.set_prompt_length(s.backend_context(), n_prompt);
    }
    if (n_there == 0) {
        s.clear();
    }
    const std::vector<index_range> chunks = cut_chunks(n_prompt, s.options().n_ubatch, a.min_last);
    const double start = seconds_now();
    s.prefill(prompt, chunks, progress, n_there);
    const token_id first = argmax(s.last_logits());
    const double seconds = seconds_now() - start;
    if (!a.ours && b.loaded()) {
        check_alone(b, a, s);
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
