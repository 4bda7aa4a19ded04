#include "eval/run/answer_group.h"

#include <algorithm>

#include "eval/run/answer_distance.h"
#include "runtime/failure.h"

namespace tmx {
namespace {

// log p of one token.
double log_probability(std::span<const float> logits, token_id token) {
    return log_softmax(logits)[static_cast<size_t>(token)];
}

struct pending {
    token_id next = 0;
    bool open = true;
};

// Whether a stop text is there; then the text ends before it.
bool cut_at_stop(const eval_example & e, size_t n_tokens, std::string & text) {
    if (static_cast<int64_t>(n_tokens) <= e.min_new_tokens) {
        return false;
    }
    size_t first = std::string::npos;
    for (const std::string & stop : e.stops) {
        first = std::min(first, text.find(stop));
    }
    if (first == std::string::npos) {
        return false;
    }
    text.resize(first);
    return true;
}

class group_answers {
  public:
    group_answers(arm_sessions & sessions, const eval_arm & a, std::span<const asked> group)
        : sessions_(sessions),
          arm_(a),
          session_(sessions.of(a)),
          text_(sessions.text()),
          group_(group),
          answers_(group.size()),
          pending_(group.size()),
          first_rows_(group.size()) {}

    std::vector<answered> run(const std::function<void(double)> & progress) {
        int64_t total = 0;
        for (const asked & each : group_) {
            total += static_cast<int64_t>(each.rendered.ids.size());
        }
        int64_t done = 0;
        for (size_t i = 0; i < group_.size(); ++i) {
            prefill(i, [&](int64_t n) {
                if (progress) {
                    progress(static_cast<double>(done + n) / static_cast<double>(total));
                }
            });
            done += static_cast<int64_t>(group_[i].rendered.ids.size());
        }
        while (decode_once()) {
        }
        for (size_t i = 0; i < group_.size(); ++i) {
            score_gold(i);
        }
        return std::move(answers_);
    }

  private:
    arm_sessions & sessions_;
    const eval_arm & arm_;
    session & session_;
    const model & text_;
    std::span<const asked> group_;
    std::vector<answered> answers_;
    std::vector<pending> pending_;
    std::vector<std::vector<float>> first_rows_;  // logits behind each prompt; kept only where they are needed again

    void prefill(size_t i, const std::function<void(int64_t)> & progress) {
        const asked & each = group_[i];
        const auto sequence = static_cast<int32_t>(i);
        const arm_sessions::prefilled done = sessions_.prefill(arm_, sequence, each.rendered.ids, progress);
        answered & a = answers_[i];
        a.prefill_seconds = done.seconds;
        a.kept_share = done.kept_share;
        a.n_planned = done.n_planned;
        const std::span<const float> logits = session_.last_logits();
        pending_[i].next = argmax(logits);
        a.first_logprob = log_probability(logits, pending_[i].next);
        if (!each.example.gold.empty() || !each.example.choices.empty()) {
            first_rows_[i].assign(logits.begin(), logits.end());
        }
        if (!each.example.choices.empty()) {
            pending_[i].open = false;
        } else {
            take(i);
        }
    }

    void close(size_t i, const char * reason) {
        answers_[i].stop_reason = reason;
        pending_[i].open = false;
    }

    // Takes the next token into the answer, or ends it.
    void take(size_t i) {
        const eval_example & e = group_[i].example;
        answered & a = answers_[i];
        if (text_.ends_answer(pending_[i].next)) {
            close(i, "end");
            return;
        }
        a.tokens.push_back(pending_[i].next);
        a.text += text_.piece(pending_[i].next);
        session_.choose(static_cast<int32_t>(i));
        if (cut_at_stop(e, a.tokens.size(), a.text)) {
            close(i, "stop_text");
        } else if (static_cast<int64_t>(a.tokens.size()) >= e.max_new_tokens) {
            close(i, "max_tokens");
        } else if (session_.n_tokens() >= session_.n_ctx()) {
            close(i, "context");
        }
    }

    // llama.cpp computes neighbouring sequences together. So one that has ended goes on between two that have not, and
    // what it says is thrown away.
    bool decode_once() {
        std::vector<session::sequence_token> tokens;
        std::vector<size_t> numbers;
        size_t begin = 0;
        size_t end = group_.size();
        while (begin < end && !pending_[begin].open) {
            ++begin;
        }
        while (begin < end && !pending_[end - 1].open) {
            --end;
        }
        for (size_t i = begin; i < end; ++i) {
            session_.choose(static_cast<int32_t>(i));
            if (pending_[i].open || session_.n_tokens() < session_.n_ctx()) {
                tokens.push_back({static_cast<int32_t>(i), pending_[i].next});
                numbers.push_back(i);
            }
        }
        if (tokens.empty()) {
            return false;
        }
        const double start = seconds_now();
        session_.decode_together(tokens);
        for (size_t k = 0; k < numbers.size(); ++k) {
            if (pending_[numbers[k]].open) {
                pending_[numbers[k]].next = argmax(session_.logits_of(k));
            }
        }
        const double seconds = seconds_now() - start;
        for (const size_t i : numbers) {
            if (pending_[i].open) {
                answers_[i].decode_seconds += seconds;
                take(i);
            }
        }
        return true;
    }

    // Sum of the log-probabilities of a text's tokens behind the prompt.
    double forced(size_t i, const std::vector<token_id> & tokens) {
        const asked & each = group_[i];
        session_.choose(static_cast<int32_t>(i));
        const auto n_prompt = static_cast<int64_t>(each.rendered.ids.size());
        // A window's cache may have given away what the first tokens behind the prompt see.
        if (session_.n_tokens() != n_prompt && (!text_.facts().windows.empty() || !session_.roll_back(n_prompt))) {
            static_cast<void>(sessions_.prefill(arm_, static_cast<int32_t>(i), each.rendered.ids, {}));
        }
        return -forced_likelihood(session_, first_rows_[i], tokens);
    }

    void score_gold(size_t i) {
        const eval_example & e = group_[i].example;
        answered & a = answers_[i];
        double best = 0;
        for (const std::string & choice : e.choices) {
            const double sum = forced(i, text_.tokenise(choice));
            if (a.stop_reason.empty() || sum > best) {
                best = sum;
                a.text = choice;
                a.stop_reason = "choice";
            }
        }
        if (e.gold.empty()) {
            return;
        }
        std::vector<token_id> tokens = text_.tokenise(e.gold);
        const int64_t room = session_.n_ctx() - static_cast<int64_t>(group_[i].rendered.ids.size());
        tokens.resize(std::min(tokens.size(), static_cast<size_t>(std::max<int64_t>(room, 1))));
        a.n_gold = static_cast<int64_t>(tokens.size());
        a.gold_nll = tokens.empty() ? -1 : -forced(i, tokens) / static_cast<double>(tokens.size());
    }
};

}  // namespace

std::vector<answered> answer_group(arm_sessions & sessions, const eval_arm & a, std::span<const asked> group,
                                   const std::function<void(double)> & progress) {
    return group_answers(sessions, a, group).run(progress);
}

}  // namespace tmx
