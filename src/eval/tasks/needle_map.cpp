#include "eval/tasks/needle_map.h"

#include <fmt/core.h>

#include <cmath>
#include <set>
#include <string_view>

#include "eval/tasks/blank_example.h"
#include "eval/tasks/example_random.h"
#include "eval/tasks/fit_budget.h"
#include "eval/tasks/niah.h"
#include "eval/tasks/ruler_task.h"
#include "trianglemix/geometry.h"

namespace tmx {
namespace {

// Where the needle begins: a share of the haystack, or so many tokens before the prompt's end, or with the prompt. All
// but the first are where Triangle attention changes what it keeps: rows behind N - last see everything, the first of
// them has its window from N - last - window on, and what begins with the prompt has its key in the sink alone.
struct place {
    const char * name;
    double share = -1;
    int64_t tokens_from_end = 0;  // 0 and no share: the prompt's first token
};

std::vector<place> make_places() {
    const triangle_shape shape;
    const int64_t last = shape.n_last;
    const int64_t window = last + shape.n_window;
    constexpr int64_t k_half_needle = 12;  // tokens
    return {{"across the sink's edge", -1, 0},
            {"0%", 0.0, 0},
            {"10%", 0.1, 0},
            {"20%", 0.2, 0},
            {"30%", 0.3, 0},
            {"40%", 0.4, 0},
            {"50%", 0.5, 0},
            {"60%", 0.6, 0},
            {"70%", 0.7, 0},
            {"80%", 0.8, 0},
            {"90%", 0.9, 0},
            {"before the last rows' window", -1, window + 64},
            {"across that window's edge", -1, window + k_half_needle},
            {"across the last rows' edge", -1, last + k_half_needle},
            {"100%", 1.0, 0}};
}

const std::vector<place> & places() {
    static const std::vector<place> all = make_places();
    return all;
}

class needle_map : public eval_task {
  public:
    needle_map(const eval_sources & sources, const char * name, haystack hay)
        : maker_(sources, hay, value_kind::word, value_kind::number) {
        facts_.suite = "needle";
        facts_.name = name;
        facts_.from = hay == haystack::essay ? provenance::substitute : provenance::native;
        facts_.note = hay == haystack::essay ? "hidden in " + sources.essay_name : "";
    }

    const task_facts & facts() const override { return facts_; }

    task_score score(const eval_example & e, const std::string & answer) const override {
        return {ruler_match(ruler_metric::all, e.outputs, answer), true, ""};
    }

    eval_example make(const example_request & request) const override {
        random_source random = example_random(request, facts_.name, "needle");
        const place & where = places()[static_cast<size_t>(request.index) % places().size()];
        const needle hidden = {maker_.draw_key(random), maker_.draw_value(random), value_kind::number};
        const needle_wording wording = ask_for_needles(hidden.kind, {hidden.key}, true);
        const random_source fill = example_random(request, facts_.name, "fill");
        return fit_units(request, {maker_.least_units(), 0, maker_.tokens_per_unit()}, [&](int64_t units) {
            const std::vector<std::string> pieces = maker_.pieces(units, fill, {hidden.key});
            eval_example e = blank_example(facts_, request);
            e.max_new_tokens = 24;
            e.answer_prefix = wording.answer_prefix;
            e.outputs = {hidden.value};
            e.gold = fmt::format(" {}", hidden.value);
            const bool first = where.share < 0 && where.tokens_from_end == 0;
            std::vector<double> depths;
            const size_t at = first ? 0 : piece_at(request.tokens, where, pieces, wording);
            std::string context = hide_needles(pieces, {hidden}, {at}, maker_.glue(), depths);
            if (first) {
                // A template would begin with more tokens than the sink has.
                const size_t n_needle = hidden.sentence().size();
                e.turns = {{"user", context.substr(0, n_needle) + "\n\n" + wording.before + context.substr(n_needle) +
                                        wording.question + "\n"}};
                e.chat_template = false;
                e.question_at = e.turns.front().text.size() - wording.question.size() - 1;
            } else {
                e.turns = {{"user", wording.before + context + wording.question}};
                e.question_at = wording.before.size() + context.size();
            }
            e.meta["place"] = where.name;
            e.meta["depth"] = fmt::format("{:.3f}", depths.front());
            return e;
        });
    }

  private:
    task_facts facts_;
    haystack_maker maker_;

    // Tokens of what stands behind the needle are counted piece by piece, from the end, so that the needle is where
    // it is wanted within a piece.
    size_t piece_at(const eval_tokenizer & tokens, const place & where, const std::vector<std::string> & pieces,
                    const needle_wording & wording) const {
        if (where.share >= 0) {
            return static_cast<size_t>(std::lround(where.share * static_cast<double>(pieces.size())));
        }
        constexpr int64_t k_template = 5;  // tokens around the model's turn, about
        const auto count = [&](const std::string & text) { return static_cast<int64_t>(tokens.tokenise(text).size()); };
        int64_t behind = count(wording.question) + count(wording.answer_prefix) + k_template;
        size_t at = pieces.size();
        while (at > 0) {
            const int64_t next = behind + count(pieces[at - 1] + maker_.glue());
            if (next > where.tokens_from_end) {
                break;
            }
            behind = next;
            --at;
        }
        return at;
    }
};

}  // namespace

const std::vector<std::string> & needle_places() {
    static const std::vector<std::string> names = [] {
        std::vector<std::string> all;
        for (const place & each : places()) {
            all.emplace_back(each.name);
        }
        return all;
    }();
    return names;
}

std::unique_ptr<eval_task> open_needle_map(const eval_sources & sources, const char * name) {
    const std::string_view wanted = name;
    const haystack hay = wanted == "noise" ? haystack::noise : wanted == "essay" ? haystack::essay : haystack::needles;
    return std::make_unique<needle_map>(sources, name, hay);
}

}  // namespace tmx
