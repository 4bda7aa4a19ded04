#include "eval/official/gsm8k.h"

#include <algorithm>
#include <string_view>

#include "eval/official/official_files.h"
#include "eval/official/solved_examples.h"
#include "eval/score/gsm8k_answer.h"
#include "eval/tasks/blank_example.h"
#include "runtime/failure.h"

namespace tmx {
namespace {

constexpr int64_t k_gsm8k_answer_tokens = 400;
constexpr int64_t k_few = 8;

struct gsm8k_row {
    std::string question, answer;
};

class gsm8k : public eval_task {
  public:
    gsm8k(const eval_sources & sources, const char * name)
        : long_(std::string_view(name) == "long"), examples_(read_solved_examples(sources, facts_.files)) {
        facts_.files += read_json_lines(
            official_file(sources, "gsm8k/test.jsonl", "GSM8K's test file"), [&](int64_t, const nlohmann::json & row) {
                const std::optional<std::string> gold = gsm8k_gold(text_field(row, "answer"));
                if (!gold) {
                    throw failure("its \"answer\" has no number behind \"#### \"");
                }
                rows_.push_back({text_field(row, "question"), *gold});
            });
        if (static_cast<int64_t>(examples_.size()) < k_few) {
            throw failure("gsm8k/train.jsonl has fewer solved examples than the eight that are shown");
        }
        facts_.suite = "gsm8k";
        facts_.name = name;
        facts_.from = long_ ? provenance::native : provenance::official;
        facts_.budgeted = long_;
        facts_.note = "the last number (flex); where \"#### n\" (strict) says something else, that is shown beside it";
        facts_.n_examples = static_cast<int64_t>(rows_.size());
    }

    const task_facts & facts() const override { return facts_; }

    eval_example make(const example_request & request) const override {
        if (!long_) {
            return shown(request, k_few);
        }
        return fit_solved_examples(request, examples_, [&](int64_t n) { return shown(request, n); });
    }

    task_score score(const eval_example & e, const std::string & answer) const override {
        const std::optional<std::string> number = gsm8k_flexible(answer);
        const std::optional<std::string> strict = gsm8k_strict(answer);
        task_score scored{number == e.outputs.front() ? 1.0 : 0.0, number.has_value(), number.value_or("")};
        if (number != strict) {
            scored.read += " (strict: " + strict.value_or("none") + ")";
        }
        return scored;
    }

  private:
    eval_example shown(const example_request & request, int64_t n_examples) const {
        const gsm8k_row & row = rows_.at(static_cast<size_t>(request.index));
        eval_example e = blank_example(facts_, request);
        const std::string before = some_solved_examples(examples_, request, facts_.name, n_examples);
        e.turns = {{"user", before + "Question: " + row.question + "\nAnswer:"}};
        e.question_at = before.size();
        e.outputs = {row.answer};
        e.max_new_tokens = k_gsm8k_answer_tokens;
        e.stops = {"\nQuestion:"};
        e.meta["shots"] = std::to_string(n_examples);
        return e;
    }

    bool long_;
    task_facts facts_;
    std::vector<std::string> examples_;
    std::vector<gsm8k_row> rows_;
};

}  // namespace

std::unique_ptr<eval_task> open_gsm8k(const eval_sources & sources, const char * name) {
    return std::make_unique<gsm8k>(sources, name);
}

}  // namespace tmx
