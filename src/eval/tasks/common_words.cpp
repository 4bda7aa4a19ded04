// cwe of eval/tasks/frequent_words.h.
#include <fmt/core.h>

#include <functional>

#include "eval/tasks/example_random.h"
#include "eval/tasks/fit_budget.h"
#include "eval/tasks/frequent_words.h"
#include "eval/tasks/ruler_task.h"
#include "runtime/failure.h"

namespace tmx {
namespace {

constexpr size_t k_common = 10;
constexpr int64_t k_least_words = k_common + 1;
constexpr int64_t k_short_budget = 4096;  // below it words come less often

struct frequencies {
    int64_t common;
    int64_t other;
};

// Of the list that is asked about, and of the solved one before it. The short ones, which RULER has for short prompts,
// are also for words that have so many tokens that the usual ones do not fit, as made words may.
struct word_counts {
    frequencies often, often_solved;
    size_t n_solved;
};
constexpr word_counts k_usual = {{30, 3}, {10, 3}, 40};
constexpr word_counts k_short = {{6, 1}, {3, 1}, 20};

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

constexpr const char * k_before_list =
    "Below is a numbered list of words. Some of them come more often than the others. Memorise those that come most "
    "often.\n";
constexpr const char * k_list_question = "\nQuestion: which 10 words come most often in the list above?";
constexpr const char * k_answer = "Answer: the 10 words that come most often in the list above are:";

class common_words : public ruler_task {
  public:
    common_words(const eval_sources & sources, std::string note)
        : ruler_task("cwe", provenance::substitute, 120, ruler_metric::all, std::move(note)), sources_(sources) {}

    eval_example make(const example_request & request) const override {
        const example_maker usual = maker(request, k_usual);
        const eval_example least = usual(k_least_words);
        if (request.budget >= k_short_budget &&
            request.tokens.count_prompt(least) + least.max_new_tokens <= request.budget) {
            return fit(request, k_usual, usual);
        }
        return fit(request, k_short, maker(request, k_short));
    }

  private:
    using example_maker = std::function<eval_example(int64_t words)>;

    const eval_sources & sources_;

    eval_example fit(const example_request & request, const word_counts & counts, const example_maker & make) const {
        const auto most = static_cast<int64_t>(sources_.words.size() - counts.n_solved);
        return fit_units(request, {k_least_words, most, static_cast<double>(counts.often.other) * 5.5}, make);
    }

    example_maker maker(const example_request & request, const word_counts & counts) const {
        random_source random = example_random(request, "cwe", "words");
        const auto words_at = [this, drawn = shuffled_numbers(random, sources_.words.size())](size_t first, size_t n) {
            std::vector<std::string> words;
            for (size_t i = first; i < first + n; ++i) {
                words.push_back(sources_.words[drawn[i]]);
            }
            return words;
        };
        const std::vector<std::string> solved = words_at(0, counts.n_solved);
        const std::string solved_text =
            k_before_list + numbered_list(solved, counts.often_solved, order_random(request, "cwe", "solved")) +
            k_list_question + "\n" + k_answer + numbered_answer(solved) + "\n\n";
        return [this, &request, counts, words_at, solved_text](int64_t n_words) {
            const std::vector<std::string> words = words_at(counts.n_solved, static_cast<size_t>(n_words));
            eval_example e = blank(request);
            set_turn(e, solved_text + k_before_list,
                     numbered_list(words, counts.often, order_random(request, "cwe", "order")), k_list_question);
            e.answer_prefix = k_answer;
            e.outputs.assign(words.begin(), words.begin() + k_common);
            e.gold = numbered_answer(words);
            e.meta["words"] = std::to_string(n_words);
            return e;
        };
    }
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
