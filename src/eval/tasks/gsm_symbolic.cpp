#include "eval/tasks/gsm_symbolic.h"

#include <fmt/core.h>

#include <algorithm>
#include <set>

#include "eval/tasks/blank_example.h"
#include "eval/tasks/example_random.h"
#include "eval/tasks/fit_budget.h"
#include "eval/tasks/gsm_infinite_score.h"

namespace tmx {
namespace {

constexpr int64_t k_gsm_symbolic_answer_tokens = 1024;

struct variable {
    std::string name;
    std::string line;  // "" for the root without a value
    int64_t value = 0;
};

// A random recursive tree: each variable is an earlier one, plus or minus one at most.
class variable_tree {
  public:
    variable_tree(random_source & random, std::set<std::string> & names) : random_(random), names_(names) {}

    void add_root(bool known) {
        variable root{new_name(), "", static_cast<int64_t>(random_.below(11))};
        root.line = known ? fmt::format("assign {} = {}.", root.name, root.value) : "";
        all_.push_back(std::move(root));
    }

    void add_one() {
        const variable & parent = all_[random_.below(all_.size())];
        const auto add = static_cast<int64_t>(random_.below(3)) - 1;
        const char * term = add == 0 ? "" : add > 0 ? " + 1" : " - 1";
        const std::string name = new_name();
        all_.push_back({name, fmt::format("assign {} = {}{}.", name, parent.name, term), parent.value + add});
    }

    const std::vector<variable> & all() const { return all_; }

  private:
    std::string new_name() {
        return draw_new(names_, [&] { return fmt::format("V{:06}", random_.below(1'000'000)); });
    }

    random_source & random_;
    std::set<std::string> & names_;
    std::vector<variable> all_;
};

class gsm_symbolic : public eval_task {
  public:
    explicit gsm_symbolic(const eval_sources & sources) : operations_(sources.operations) {
        facts_.suite = "gsm-infinite";
        facts_.name = "symbolic";
        facts_.note = k_symbolic_note;
    }

    const task_facts & facts() const override { return facts_; }
    eval_example make(const example_request & request) const override;
    task_score score(const eval_example & e, const std::string & answer) const override {
        return score_variables(e, answer);
    }

  private:
    task_facts facts_;
    std::vector<int64_t> operations_;
};

eval_example gsm_symbolic::make(const example_request & request) const {
    const int64_t op = operations_[static_cast<size_t>(request.index) % operations_.size()];
    // More lines of noise leave those before, and their order, as they are.
    random_source core_random = example_random(request, facts_.name, "core");
    random_source noise_random = example_random(request, facts_.name, "noise");
    random_source order = example_random(request, facts_.name, "order");
    std::set<std::string> names;
    variable_tree core(core_random, names);
    core.add_root(true);
    for (int64_t i = 1; i < op; ++i) {
        core.add_one();
    }
    const int64_t asked = core.all()[core_random.below(core.all().size())].value;
    variable_tree noise(noise_random, names);
    noise.add_root(false);
    std::vector<std::pair<uint64_t, std::string>> placed;
    for (const variable & v : core.all()) {
        placed.emplace_back(order.next(), v.line);
    }
    const auto build = [&](int64_t n_noise) {
        while (static_cast<int64_t>(noise.all().size()) <= n_noise) {
            noise.add_one();
            placed.emplace_back(order.next(), noise.all().back().line);
        }
        std::vector<std::pair<uint64_t, std::string>> lines(placed.begin(), placed.begin() + op + n_noise);
        std::sort(lines.begin(), lines.end());
        std::string context;
        for (const auto & [place, line] : lines) {
            context += line + "\n";
        }
        eval_example e = blank_example(facts_, request);
        e.max_new_tokens = k_gsm_symbolic_answer_tokens;
        const std::string before =
            "Below are assignments of variables, in no order. All of them hold at the same time.\n\n" + context;
        e.turns = {{"user", before + fmt::format("\nWhich variables can be worked out from these assignments, and have "
                                                 "the value {}? Reason step by step. End with a sentence that "
                                                 "begins with \"The final answer is\" and names all of them.",
                                                 asked)}};
        e.question_at = before.size();
        for (const variable & v : core.all()) {
            if (v.value == asked) {
                e.outputs.push_back(v.name);
            }
        }
        std::sort(e.outputs.begin(), e.outputs.end());
        e.meta = {{"op", std::to_string(op)}, {"variables", std::to_string(op + n_noise)}};
        return e;
    };
    return fit_units(request, {1, 0, 16}, build);
}

}  // namespace

std::unique_ptr<eval_task> open_gsm_symbolic(const eval_sources & sources, const char *) {
    return std::make_unique<gsm_symbolic>(sources);
}

}  // namespace tmx
