// fwe of eval/tasks/frequent_words.h.
#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "eval/tasks/example_random.h"
#include "eval/tasks/fit_budget.h"
#include "eval/tasks/frequent_words.h"
#include "eval/tasks/ruler_task.h"

namespace tmx {
namespace {

constexpr double k_zeta_2 = 1.6449340668482264;  // pi^2 / 6: shares of ranks r^-2 add up to 1 when divided by it
constexpr int64_t k_letters = 6;
constexpr size_t k_asked = 3;

class coded_words : public ruler_task {
  public:
    coded_words() : ruler_task("fwe", provenance::native, 50, ruler_metric::all, "") {}

    eval_example make(const example_request & request) const override {
        random_source random = example_random(request, "fwe", "words");
        const auto n_vocabulary = static_cast<size_t>(std::max<int64_t>((request.budget - 50) / 50, 4));
        std::set<std::string> taken;
        std::vector<std::string> words = {"..."};
        while (words.size() < n_vocabulary) {
            words.push_back(draw_new(taken, [&] { return random_letters(random, k_letters, 'a'); }));
        }
        // Fewer than 60 words, and the fourth rank does not come more often than the fifth.
        return fit_units(request, {60, 0, 2.2}, [&](int64_t n_words) {
            std::vector<size_t> text;  // ranks
            for (size_t rank = 1; rank <= words.size(); ++rank) {
                const double share = std::pow(static_cast<double>(rank), -2) / k_zeta_2;
                text.insert(text.end(), static_cast<size_t>(static_cast<double>(n_words) * share), rank - 1);
            }
            random_source order = order_random(request, "fwe", "order");
            std::string context;
            for (const size_t i : shuffled_numbers(order, text.size())) {
                context += context.empty() ? "" : " ";
                context += words[text[i]];
            }
            eval_example e = blank(request);
            set_turn(e,
                     "Read the coded text below and keep track of how often each coded word comes. Afterwards you will "
                     "be asked for the three most frequent ones.\n",
                     context,
                     "\nQuestion: which three coded words come most often in the text above? Leave the dots out of "
                     "account, and give no explanation.");
            e.answer_prefix = "Answer: the three coded words that come most often in the text above are:";
            e.outputs.assign(words.begin() + 1, words.begin() + 1 + k_asked);
            e.gold = fmt::format(" {}", joined_list(e.outputs));
            return e;
        });
    }
};

}  // namespace

std::unique_ptr<eval_task> open_coded_words(const eval_sources &, const char *) {
    return std::make_unique<coded_words>();
}

}  // namespace tmx
