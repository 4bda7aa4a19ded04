#include "eval/official/aime.h"

#include <algorithm>
#include <string_view>

#include "eval/official/official_files.h"
#include "eval/official/solved_examples.h"
#include "eval/score/aime_answer.h"
#include "eval/score/numbers.h"
#include "eval/tasks/blank_example.h"
#include "runtime/failure.h"

namespace tmx {
namespace {

constexpr int64_t k_aime_answer_tokens = 4096;

struct aime_row {
    std::string problem, answer;
};

aime_row read_row(const nlohmann::json & row) {
    const bool capital = row.contains("Problem");
    const char * key = capital ? "Answer" : "answer";
    const bool number = row.contains(key) && row[key].is_number_integer();
    const std::string answer = number ? std::to_string(row[key].get<int64_t>()) : text_field(row, key);
    const std::optional<std::string> plain = plain_integer(answer);
    if (!plain) {
        throw failure("its answer \"" + answer + "\" is no whole number");
    }
    return {text_field(row, capital ? "Problem" : "problem"), *plain};
}

class aime : public eval_task {
  public:
    aime(const eval_sources & sources, const char * name) : long_(std::string_view(name) == "long") {
        facts_.files =
            read_json_lines(official_file(sources, "aime24/test.jsonl", "AIME 2024's problems as JSON lines"),
                            [&](int64_t, const nlohmann::json & row) { rows_.push_back(read_row(row)); });
        if (long_) {
            examples_ = read_solved_examples(sources, facts_.files);
        }
        facts_.suite = "aime24";
        facts_.name = name;
        facts_.from = long_ ? provenance::native : provenance::official;
        facts_.budgeted = long_;
        facts_.note = long_ ? "" : "too short for a sparse prefill to do anything";
        facts_.n_examples = static_cast<int64_t>(rows_.size());
    }

    const task_facts & facts() const override { return facts_; }

    eval_example make(const example_request & request) const override {
        if (!long_) {
            return shown(request, 0);
        }
        return fit_solved_examples(request, examples_, [&](int64_t n) { return shown(request, n); });
    }

    task_score score(const eval_example & e, const std::string & answer) const override {
        const std::optional<std::string> number = aime_answer(answer);
        return {number == e.outputs.front() ? 1.0 : 0.0, number.has_value(), number.value_or("")};
    }

  private:
    eval_example shown(const example_request & request, int64_t n_examples) const {
        const aime_row & row = rows_.at(static_cast<size_t>(request.index));
        eval_example e = blank_example(facts_, request);
        const std::string before = some_solved_examples(examples_, request, facts_.name, n_examples);
        e.turns = {{"user", before +
                                "Solve this problem step by step. Put the final answer, a whole number from 0 to "
                                "999, into \\boxed{}.\n\n" +
                                row.problem}};
        e.question_at = before.size();
        e.outputs = {row.answer};
        e.max_new_tokens = k_aime_answer_tokens;
        e.meta["shots"] = std::to_string(n_examples);
        return e;
    }

    bool long_;
    task_facts facts_;
    std::vector<std::string> examples_;
    std::vector<aime_row> rows_;
};

}  // namespace

std::unique_ptr<eval_task> open_aime(const eval_sources & sources, const char * name) {
    return std::make_unique<aime>(sources, name);
}

}  // namespace tmx
