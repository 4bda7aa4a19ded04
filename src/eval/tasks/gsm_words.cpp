#include "eval/tasks/gsm_words.h"

#include <fmt/core.h>

#include <algorithm>

#include "eval/tasks/blank_example.h"
#include "eval/tasks/example_random.h"
#include "eval/tasks/fit_budget.h"
#include "eval/tasks/gsm_infinite_score.h"
#include "eval/tasks/word_problem.h"

namespace tmx {
namespace {

constexpr int64_t k_gsm_words_answer_tokens = 1024;

class gsm_words : public eval_task {
  public:
    explicit gsm_words(const eval_sources & sources) : operations_(sources.operations) {
        facts_.suite = "gsm-infinite";
        facts_.name = "gsm-inf-lite";
        facts_.from = provenance::substitute;
        facts_.note = k_number_note;
    }

    const task_facts & facts() const override { return facts_; }
    eval_example make(const example_request & request) const override;
    task_score score(const eval_example & e, const std::string & answer) const override {
        return score_number(e, answer);
    }

  private:
    task_facts facts_;
    std::vector<int64_t> operations_;
};

eval_example gsm_words::make(const example_request & request) const {
    const int64_t op = operations_[static_cast<size_t>(request.index) % operations_.size()];
    word_problem problem(op, example_random(request, facts_.name, "core"),
                         example_random(request, facts_.name, "noise"));
    random_source order = example_random(request, facts_.name, "order");
    std::vector<uint64_t> places;  // [statement] by which they are sorted
    const auto build = [&](int64_t n_noise) {
        const size_t n = problem.n_needed() + static_cast<size_t>(n_noise);
        while (problem.statements().size() < n) {
            problem.add_noise();
        }
        while (places.size() < n) {
            places.push_back(order.next());
        }
        std::vector<size_t> sorted(n);
        for (size_t i = 0; i < n; ++i) {
            sorted[i] = i;
        }
        std::sort(sorted.begin(), sorted.end(), [&](size_t a, size_t b) { return places[a] < places[b]; });
        std::string before = "Here is what is known, in no order.\n\n";
        for (const size_t i : sorted) {
            before += problem.statements()[i] + "\n";
        }
        eval_example e = blank_example(facts_, request);
        e.max_new_tokens = k_gsm_words_answer_tokens;
        e.turns = {{"user", before + fmt::format("\nWhat is {}? Use only what is needed, reason step by step, and end "
                                                 "with a line of \"Answer:\" and the number.",
                                                 problem.question())}};
        e.question_at = before.size();
        e.outputs = {std::to_string(problem.answer())};
        e.meta = {{"op", std::to_string(op)}, {"statements", std::to_string(n)}};
        return e;
    };
    return fit_units(request, {1, 0, 20}, build);
}

}  // namespace

std::unique_ptr<eval_task> open_gsm_words(const eval_sources & sources, const char *) {
    return std::make_unique<gsm_words>(sources);
}

}  // namespace tmx
