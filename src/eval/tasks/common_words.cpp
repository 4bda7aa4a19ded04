// cwe of eval/tasks/frequent_words.h.
#include <fmt/core.h>

#include "eval/tasks/example_random.h"
#include "eval/tasks/fit_budget.h"
#include "eval/tasks/frequent_words.h"
#include "eval/tasks/ruler_task.h"
#include "runtime/failure.h"

namespace tmx {
namespace {

constexpr size_t k_common = 10;
constexpr int64_t k_short_budget = 4096;  // below it words come less often

struct frequencies {
    int64_t common;
    int64_t other;
};

// Words as a numbered list, the first k_common of them more often than the rest, in an order that `random` decides.
std::string numbered_list(const std::vector<std::string> & words, frequencies often, random_source random) {
    std::vector<const std::string *> all;
    for (size_t i = 0; i < words.size(); ++i) {
        all.insert(all.end(), static_cast<size_t>(i < k_common ? often.common : often.other), &words[i]);
    }
    std::string text;
    size_t number = 0;
    for (const size_t i : shuffled_numbers(random, all.size())) {
        text += fmt::format("{}{}. {}", number > 0 ? " " : "", number + 1, *all[i]);
        ++number;
    }
    return text;
}

std::string numbered_answer(const std::vector<std::string> & words) {
    std::string text;
    for (size_t i = 0; i < k_common; ++i) {
        text += fmt::format(" {}. {}", i + 1, words[i]);
    }
    return text;
}

constexpr const char * k_before =
    "Below is a numbered list of words. Some of them come more often than the others. Memorise those that come most "
    "often.\n";
constexpr const char * k_question = "\nQuestion: which 10 words come most often in the list above?";
constexpr const char * k_answer = "Answer: the 10 words that come most often in the list above are:";

class common_words : public ruler_task {
  public:
    common_words(const eval_sources & sources, std::string note)
        : ruler_task("cwe", provenance::substitute, 120, ruler_metric::all, std::move(note)), sources_(sources) {}

    eval_example make(const example_request & request) const override {
        const bool shorter = request.budget < k_short_budget;
        const frequencies often = shorter ? frequencies{6, 1} : frequencies{30, 3};
        const frequencies often_solved = shorter ? frequencies{3, 1} : frequencies{10, 3};
        const size_t n_solved = shorter ? 20 : 40;
        random_source random = example_random(request, "cwe", "words");
        const std::vector<size_t> drawn = shuffled_numbers(random, sources_.words.size());
        const auto words_at = [&](size_t first, size_t n) {
            std::vector<std::string> words;
            for (size_t i = first; i < first + n; ++i) {
                words.push_back(sources_.words[drawn[i]]);
            }
            return words;
        };
        const std::vector<std::string> solved = words_at(0, n_solved);
        const std::string solved_text = k_before +
                                        numbered_list(solved, often_solved, order_random(request, "cwe", "solved")) +
                                        k_question + "\n" + k_answer + numbered_answer(solved) + "\n\n";
        const auto most = static_cast<int64_t>(drawn.size() - n_solved);
        const double per_unit = static_cast<double>(often.other) * 5.5;
        return fit_units(request, {static_cast<int64_t>(k_common) + 1, most, per_unit}, [&](int64_t units) {
            const std::vector<std::string> words = words_at(n_solved, static_cast<size_t>(units));
            eval_example e = blank(request);
            set_turn(e, solved_text + k_before, numbered_list(words, often, order_random(request, "cwe", "order")),
                     k_question);
            e.answer_prefix = k_answer;
            e.outputs.assign(words.begin(), words.begin() + k_common);
            e.gold = numbered_answer(words);
            e.meta["words"] = std::to_string(units);
            return e;
        });
    }

  private:
    const eval_sources & sources_;
};

}  // namespace

std::unique_ptr<eval_task> open_common_words(const eval_sources & sources, const char *) {
    constexpr size_t k_least = 100;
    if (sources.words.size() < k_least) {
        throw failure(fmt::format("cwe needs a list of at least {} words, and the word source has {}", k_least,
                                  sources.words.size()));
    }
    return std::make_unique<common_words>(sources, "words from " + sources.words_name);
}

}  // namespace tmx
