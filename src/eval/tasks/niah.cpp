#include "eval/tasks/niah.h"

#include <fmt/core.h>

#include <cmath>
#include <set>
#include <string_view>

#include "eval/tasks/example_random.h"
#include "eval/tasks/fit_budget.h"
#include "eval/tasks/ruler_task.h"
#include "runtime/failure.h"

namespace tmx {
namespace {

struct variant {
    const char * name;
    haystack hay;
    value_kind key;
    value_kind value;
    size_t n_keys;
    size_t n_values;   // of each key
    size_t n_queries;  // keys that are asked for
};

constexpr variant k_variants[] = {
    {"niah_single_1", haystack::noise, value_kind::word, value_kind::number, 1, 1, 1},
    {"niah_single_2", haystack::essay, value_kind::word, value_kind::number, 1, 1, 1},
    {"niah_single_3", haystack::essay, value_kind::word, value_kind::uuid, 1, 1, 1},
    {"niah_multikey_1", haystack::essay, value_kind::word, value_kind::number, 4, 1, 1},
    {"niah_multikey_2", haystack::needles, value_kind::word, value_kind::number, 1, 1, 1},
    {"niah_multikey_3", haystack::needles, value_kind::uuid, value_kind::uuid, 1, 1, 1},
    {"niah_multivalue", haystack::essay, value_kind::word, value_kind::number, 1, 4, 1},
    {"niah_multiquery", haystack::essay, value_kind::word, value_kind::number, 4, 1, 4},
};
constexpr size_t k_depths = 40;  // places of needles in an essay, from its beginning to its end in equal steps

class niah : public ruler_task {
  public:
    niah(const variant & v, const eval_sources & sources, provenance from, std::string note)
        : ruler_task(v.name, from, 128, ruler_metric::all, std::move(note)),
          variant_(v),
          maker_(sources, v.hay, v.key, v.value) {}

    eval_example make(const example_request & request) const override;

  private:
    const variant & variant_;
    haystack_maker maker_;

    // Which piece each of n needles comes before.
    std::vector<size_t> places(const example_request & request, size_t n, size_t n_pieces) const;
};

std::vector<size_t> niah::places(const example_request & request, size_t n, size_t n_pieces) const {
    random_source random = order_random(request, variant_.name, "places");
    std::vector<size_t> before_piece;
    if (variant_.hay == haystack::essay) {
        const std::vector<size_t> order = shuffled_numbers(random, k_depths);
        for (size_t i = 0; i < n; ++i) {
            const double percent = static_cast<double>(order[i]) * 100 / (k_depths - 1);
            before_piece.push_back(n_pieces * static_cast<size_t>(std::lround(percent)) / 100);
        }
        return before_piece;
    }
    for (size_t i = 0; i < n; ++i) {
        before_piece.push_back(static_cast<size_t>(random.unit() * static_cast<double>(n_pieces + 1)));
    }
    return before_piece;
}

eval_example niah::make(const example_request & request) const {
    random_source random = example_random(request, variant_.name, "needles");
    std::set<std::string> keys;
    std::set<std::string> taken_values;
    std::vector<needle> needles;
    for (size_t k = 0; k < variant_.n_keys; ++k) {
        const std::string key = draw_new(keys, [&] { return maker_.draw_key(random); });
        for (size_t v = 0; v < variant_.n_values; ++v) {
            needles.push_back({key, draw_new(taken_values, [&] { return maker_.draw_value(random); }), variant_.value});
        }
    }
    const std::vector<size_t> asked = shuffled_numbers(random, variant_.n_keys);
    std::vector<std::string> queries;
    std::vector<std::string> values;
    std::vector<size_t> answers;
    for (size_t q = 0; q < variant_.n_queries; ++q) {
        const size_t key = asked[q];
        queries.push_back(needles[key * variant_.n_values].key);
        for (size_t v = 0; v < variant_.n_values; ++v) {
            answers.push_back(key * variant_.n_values + v);
            values.push_back(needles[answers.back()].value);
        }
    }
    const needle_wording wording = ask_for_needles(variant_.value, queries, values.size() == 1);
    const random_source fill = example_random(request, variant_.name, "fill");
    return fit_units(request, {maker_.least_units(), 0, maker_.tokens_per_unit()}, [&](int64_t units) {
        eval_example e = blank(request);
        const std::vector<std::string> pieces = maker_.pieces(units, fill, keys);
        std::vector<double> depths;
        const std::string context =
            hide_needles(pieces, needles, places(request, needles.size(), pieces.size()), maker_.glue(), depths);
        set_turn(e, wording.before, context, wording.question);
        e.answer_prefix = wording.answer_prefix;
        e.outputs = values;
        e.gold = fmt::format(" {}", joined_list(values));
        for (const size_t i : answers) {
            e.meta["depth"] += fmt::format("{}{:.3f}", e.meta["depth"].empty() ? "" : " ", depths[i]);
        }
        return e;
    });
}

}  // namespace

needle_wording ask_for_needles(value_kind value, const std::vector<std::string> & queries, bool one_value) {
    const std::string type = word_for(value);
    const std::string keys = joined_list(queries);
    if (one_value) {
        return {
            fmt::format("A special magic {0} is hidden in the text below. Memorise it: you will be asked for the {0} "
                        "afterwards.\n",
                        type),
            fmt::format("\nWhat is the special magic {} for {} that the text above mentions?", type, keys),
            fmt::format("The special magic {} for {} that the text mentions is", type, keys)};
    }
    return {
        fmt::format("Some special magic {0}s are hidden in the text below. Memorise them: you will be asked for the "
                    "{0}s afterwards.\n",
                    type),
        fmt::format("\nWhat are all the special magic {}s for {} that the text above mentions?", type, keys),
        fmt::format("The special magic {}s for {} that the text mentions are", type, keys)};
}

std::unique_ptr<eval_task> open_niah(const eval_sources & sources, const char * name) {
    for (const variant & v : k_variants) {
        if (std::string_view(name) == v.name) {
            const bool essay = v.hay == haystack::essay;
            return std::make_unique<niah>(v, sources, essay ? provenance::substitute : provenance::native,
                                          essay ? "hidden in " + sources.essay_name : "");
        }
    }
    throw failure(std::string("no needle task is called ") + name);
}

}  // namespace tmx
