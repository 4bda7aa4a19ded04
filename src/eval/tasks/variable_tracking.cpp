#include "eval/tasks/variable_tracking.h"

#include <fmt/core.h>

#include <algorithm>
#include <set>

#include "eval/tasks/example_random.h"
#include "eval/tasks/fit_budget.h"
#include "eval/tasks/haystack.h"
#include "eval/tasks/ruler_task.h"

namespace tmx {
namespace {

constexpr int64_t k_hops = 4;
constexpr int64_t k_solved_lines = 19;  // noise lines of the solved example: about 500 tokens

struct chain {
    std::string value;
    std::vector<std::string> names;  // in the order of assignment
};

chain draw_chain(random_source & random, int64_t n_letters, std::set<std::string> & taken) {
    chain made;
    made.value = std::to_string(10'000 + random.below(89'999));
    for (int64_t i = 0; i <= k_hops; ++i) {
        made.names.push_back(draw_new(taken, [&] { return random_letters(random, n_letters, 'A'); }));
    }
    return made;
}

std::string lines_with_chain(const chain & c, int64_t n_lines, random_source places) {
    std::vector<int64_t> at;
    for (size_t i = 0; i < c.names.size(); ++i) {
        at.push_back(static_cast<int64_t>(places.unit() * static_cast<double>(n_lines + 1)));
    }
    std::sort(at.begin(), at.end());
    std::string text;
    size_t next = 0;
    for (int64_t line = 0; line <= n_lines; ++line) {
        for (; next < at.size() && at[next] == line; ++next) {
            text += "VAR " + c.names[next] + " = ";
            text += next == 0 ? c.value : "VAR " + c.names[next - 1];
            text += "\n";
        }
        if (line < n_lines) {
            text += k_noise_line;
            text += "\n";
        }
    }
    return text;
}

std::string names_of(const chain & c) {
    std::string text;
    for (const std::string & name : c.names) {
        text += fmt::format(" {}", name);
    }
    return text;
}

constexpr const char * k_before_chain =
    "Memorise and follow the chain of variable assignments hidden in the text below.\n\n";

std::string question_about(const chain & c) {
    return fmt::format(
        "Question: which variables are assigned the value {} in the text above, directly or by way of "
        "another variable? Find all of them.",
        c.value);
}

std::string answer_begins(const chain & c) {
    return fmt::format(
        "Answer: by the chain of assignments in the text above, {} variables are assigned the value {}; "
        "they are:",
        c.names.size(), c.value);
}

class variable_tracking : public ruler_task {
  public:
    variable_tracking() : ruler_task("vt", provenance::native, 30, ruler_metric::all, "") {}

    eval_example make(const example_request & request) const override {
        random_source random = example_random(request, "vt", "chains");
        std::set<std::string> taken;
        const chain solved = draw_chain(random, 3, taken);
        const chain asked = draw_chain(random, 5, taken);
        const std::string solved_text =
            k_before_chain + lines_with_chain(solved, k_solved_lines, order_random(request, "vt", "solved")) +
            question_about(solved) + " " + answer_begins(solved) + names_of(solved) + "\n\n";
        return fit_units(request, {2, 0, 25}, [&](int64_t n_lines) {
            eval_example e = blank(request);
            set_turn(e, solved_text + k_before_chain,
                     lines_with_chain(asked, n_lines, order_random(request, "vt", "places")), question_about(asked));
            e.answer_prefix = answer_begins(asked);
            e.outputs = asked.names;
            e.gold = names_of(asked);
            return e;
        });
    }
};

}  // namespace

std::unique_ptr<eval_task> open_variable_tracking(const eval_sources &, const char *) {
    return std::make_unique<variable_tracking>();
}

}  // namespace tmx
