#include "eval/tasks/niah.h"

#include <fmt/core.h>

#include <algorithm>
#include <set>
#include <string_view>

#include "eval/tasks/example_random.h"
#include "eval/tasks/fit_budget.h"
#include "eval/tasks/ruler_task.h"
#include "eval/tasks/sentences.h"
#include "runtime/failure.h"

namespace tmx {

const char * const k_noise_line =
    "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again.";

namespace {

enum class haystack : uint8_t { noise, essay, needles };
enum class value_kind : uint8_t { word, number, uuid };

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

const char * word_for(value_kind kind) {
    return kind == value_kind::number ? "number" : kind == value_kind::uuid ? "uuid" : "word";
}

class niah : public ruler_task {
  public:
    niah(const variant & v, const eval_sources & sources, provenance from, std::string note)
        : ruler_task(v.name, from, 128, ruler_metric::all, std::move(note)), variant_(v), sources_(sources) {
        if (v.hay == haystack::essay) {
            for (size_t at = sources.essay.find(' '); at != std::string::npos; at = sources.essay.find(' ', at + 1)) {
                word_ends_.push_back(at);
            }
            word_ends_.push_back(sources.essay.size());
        }
    }

    eval_example make(const example_request & request) const override;

  private:
    const variant & variant_;
    const eval_sources & sources_;
    std::vector<size_t> word_ends_;  // of the essay's words: byte behind each

    struct needle {
        std::string key;
        std::string value;
        std::string sentence() const;
        const char * type;
    };

    std::string draw(value_kind kind, random_source & random) const;
    std::string essay_words(size_t n) const;
    std::string context_of(const example_request & request, int64_t units, const std::vector<needle> & needles,
                           std::vector<double> & depths) const;
};

std::string niah::needle::sentence() const {
    return fmt::format("One of the special magic {}s for {} is: {}.", type, key, value);
}

std::string niah::draw(value_kind kind, random_source & random) const {
    switch (kind) {
        case value_kind::number:
            return std::to_string(1'000'000 + random.below(9'000'000));
        case value_kind::uuid:
            return random_uuid(random);
        case value_kind::word:
            break;
    }
    return sources_.adjectives[random.below(sources_.adjectives.size())] + "-" +
           sources_.nouns[random.below(sources_.nouns.size())];
}

// The essay's first n words; from its beginning again where it has fewer.
std::string niah::essay_words(size_t n) const {
    std::string text;
    for (; n > word_ends_.size(); n -= word_ends_.size()) {
        text += sources_.essay + " ";
    }
    return n > 0 ? text + sources_.essay.substr(0, word_ends_[n - 1]) : text;
}

// depths: of each needle, share of the context before it.
std::string niah::context_of(const example_request & request, int64_t units, const std::vector<needle> & needles,
                             std::vector<double> & depths) const {
    const auto n_units = static_cast<size_t>(units);
    random_source places = order_random(request, variant_.name, "places");
    std::vector<std::string> pieces;
    std::string essay;
    if (variant_.hay == haystack::essay) {
        essay = essay_words(n_units);
        for (const std::string_view sentence : split_sentences(essay)) {
            pieces.emplace_back(sentence);
        }
    } else if (variant_.hay == haystack::noise) {
        pieces.assign(n_units, k_noise_line);
    } else {
        random_source fill = example_random(request, variant_.name, "fill");
        std::set<std::string> keys = {needles.front().key};
        for (size_t i = 0; i < n_units; ++i) {
            const std::string key = draw_new(keys, [&] { return draw(variant_.key, fill); });
            pieces.push_back(needle{key, draw(variant_.value, fill), word_for(variant_.value)}.sentence());
        }
    }
    // Where each needle goes, as an index into `pieces`.
    std::vector<size_t> at;
    if (variant_.hay == haystack::essay) {
        const std::vector<size_t> order = shuffled_numbers(places, k_depths);
        for (size_t i = 0; i < needles.size(); ++i) {
            const auto percent = static_cast<double>(order[i]) * 100 / (k_depths - 1);
            const auto rounded = static_cast<size_t>(percent + 0.5);
            at.push_back(pieces.size() * rounded / 100);
        }
    } else {
        for (size_t i = 0; i < needles.size(); ++i) {
            at.push_back(static_cast<size_t>(places.unit() * static_cast<double>(pieces.size() + 1)));
        }
    }
    std::vector<size_t> order(needles.size());
    for (size_t i = 0; i < order.size(); ++i) {
        order[i] = i;
    }
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return at[a] < at[b]; });
    std::string text;
    depths.assign(needles.size(), 0);
    const char * glue = variant_.hay == haystack::essay ? " " : "\n";
    const auto add = [&](const std::string & piece) {
        text += text.empty() ? "" : glue;
        text += piece;
    };
    size_t next = 0;
    for (size_t i = 0; i <= pieces.size(); ++i) {
        for (; next < order.size() && at[order[next]] == i; ++next) {
            depths[order[next]] = static_cast<double>(text.size());
            add(needles[order[next]].sentence());
        }
        if (i < pieces.size()) {
            add(pieces[i]);
        }
    }
    for (double & depth : depths) {
        depth /= static_cast<double>(text.size());
    }
    return text;
}

eval_example niah::make(const example_request & request) const {
    random_source random = example_random(request, variant_.name, "needles");
    std::set<std::string> taken_keys;
    std::set<std::string> taken_values;
    std::vector<needle> needles;
    for (size_t k = 0; k < variant_.n_keys; ++k) {
        const std::string key = draw_new(taken_keys, [&] { return draw(variant_.key, random); });
        for (size_t v = 0; v < variant_.n_values; ++v) {
            needles.push_back(
                {key, draw_new(taken_values, [&] { return draw(variant_.value, random); }), word_for(variant_.value)});
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
    const bool one = values.size() == 1;
    const std::string type = word_for(variant_.value);
    const std::string keys = joined_list(queries);
    const std::string before =
        one ? fmt::format(
                  "A special magic {} is hidden in the text below. Memorise it: you will be asked for the {} "
                  "afterwards.\n",
                  type, type)
            : fmt::format(
                  "Some special magic {}s are hidden in the text below. Memorise them: you will be asked for "
                  "the {}s afterwards.\n",
                  type, type);
    const std::string question =
        one ? fmt::format("\nWhat is the special magic {} for {} that the text above mentions?", type, keys)
            : fmt::format("\nWhat are all the special magic {}s for {} that the text above mentions?", type, keys);
    const unit_limits limits = {variant_.hay == haystack::essay ? 40 : 2, 0,
                                variant_.hay == haystack::essay    ? 1.4
                                : variant_.hay == haystack::noise  ? 25.0
                                : variant_.key == value_kind::uuid ? 75.0
                                                                   : 24.0};
    return fit_units(request, limits, [&](int64_t units) {
        eval_example e = blank(request);
        std::vector<double> depths;
        set_turn(e, before, context_of(request, units, needles, depths), question);
        e.answer_prefix = fmt::format("The special magic {}{} for {} that the text mentions {}", type, one ? "" : "s",
                                      keys, one ? "is" : "are");
        e.outputs = values;
        e.gold = fmt::format(" {}", joined_list(values));
        for (const size_t i : answers) {
            e.meta["depth"] += fmt::format("{}{:.3f}", e.meta["depth"].empty() ? "" : " ", depths[i]);
        }
        return e;
    });
}

}  // namespace

std::unique_ptr<eval_task> open_niah(const eval_sources & sources, const char * name) {
    for (const variant & v : k_variants) {
        if (std::string_view(name) != v.name) {
            continue;
        }
        if (sources.adjectives.empty() || sources.nouns.empty()) {
            throw failure("needles need lists of adjectives and nouns, and the word source has none");
        }
        if (v.hay == haystack::essay && sources.essay.empty()) {
            throw failure(std::string(name) + " needs an essay to hide needles in, and there is no text");
        }
        const bool essay = v.hay == haystack::essay;
        return std::make_unique<niah>(v, sources, essay ? provenance::substitute : provenance::native,
                                      essay ? "hidden in " + sources.essay_name : "");
    }
    throw failure(std::string("no needle task is called ") + name);
}

}  // namespace tmx
