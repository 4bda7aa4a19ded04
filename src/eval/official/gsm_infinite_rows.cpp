#include "eval/official/gsm_infinite_rows.h"

#include <fmt/core.h>

#include <algorithm>
#include <map>
#include <string_view>

#include "eval/official/official_files.h"
#include "eval/score/gsm_infinite_answer.h"
#include "eval/tasks/blank_example.h"
#include "eval/tasks/gsm_infinite_score.h"
#include "runtime/failure.h"

namespace tmx {
namespace {

constexpr int64_t k_gsm_infinite_answer_tokens = 4096;  // of the official runs
constexpr int64_t k_least_op = 2, k_most_op = 30;

struct gsm_row {
    std::vector<chat_turn> turns;
    std::vector<std::string> outputs;
    int64_t line = 0;
    int64_t op = 0;
    size_t question_at = 0;
};

std::vector<chat_turn> turns_of(const nlohmann::json & row) {
    if (!row.contains("messages") || !row["messages"].is_array() || row["messages"].empty()) {
        throw failure("has no list \"messages\"");
    }
    std::vector<chat_turn> turns;
    for (const nlohmann::json & message : row["messages"]) {
        chat_turn turn{text_field(message, "role"), text_field(message, "content")};
        if (!turns.empty() && turns.back().role == turn.role) {
            // Most templates refuse two turns of one role in a row.
            turns.back().text += "\n" + turn.text;
        } else {
            turns.push_back(std::move(turn));
        }
    }
    if (turns.back().role != "user") {
        throw failure("the last of its \"messages\" is not the user's");
    }
    return turns;
}

gsm_row read_row(int64_t line, const nlohmann::json & row, bool symbolic) {
    gsm_row read;
    read.line = line;
    read.op = whole_field(row, "op");
    read.turns = turns_of(row);
    if (symbolic) {
        read.outputs = texts_field(row, "answer_list");
        std::sort(read.outputs.begin(), read.outputs.end());
    } else {
        const std::optional<std::string> gold = solution_number(text_field(row, "solution"));
        if (!gold) {
            throw failure("its \"solution\" has no number behind \"Answer: \"");
        }
        read.outputs = {*gold};
    }
    if (read.outputs.empty()) {
        throw failure("\"answer_list\" is empty");
    }
    // The question is repeated behind the context.
    const std::string question = row.contains("question") ? text_field(row, "question") : "";
    const std::string & text = read.turns.back().text;
    const size_t at = question.empty() ? std::string::npos : text.rfind(question);
    read.question_at = at == std::string::npos ? text.rfind('\n') + 1 : at;
    return read;
}

// One row of each op in turn, so that the first n of them are about as hard as all.
std::vector<gsm_row> by_turns(std::vector<gsm_row> rows) {
    std::map<int64_t, int64_t> n_seen;
    std::map<int64_t, std::pair<int64_t, int64_t>> order;  // by line: how many of its op came before, and the op
    for (const gsm_row & row : rows) {
        order[row.line] = {n_seen[row.op]++, row.op};
    }
    std::stable_sort(rows.begin(), rows.end(),
                     [&](const gsm_row & a, const gsm_row & b) { return order.at(a.line) < order.at(b.line); });
    return rows;
}

class gsm_infinite_rows : public eval_task {
  public:
    gsm_infinite_rows(const eval_sources & sources, const char * name)
        : symbolic_(std::string_view(name).substr(0, 8) == "symbolic") {
        const std::string file = fmt::format("gsm_infinite/{}.jsonl", name);
        std::vector<gsm_row> rows;
        facts_.files = read_json_lines(official_file(sources, file, "that set of GSM-Infinite as JSON lines"),
                                       [&](int64_t line, const nlohmann::json & row) {
                                           gsm_row read = read_row(line, row, symbolic_);
                                           if (read.op >= k_least_op && read.op <= k_most_op) {
                                               rows.push_back(std::move(read));
                                           }
                                       });
        if (rows.empty()) {
            throw failure(fmt::format("{} has no rows of {} to {} operations", file, k_least_op, k_most_op));
        }
        rows_ = by_turns(std::move(rows));
        facts_.suite = "gsm-infinite-rows";
        facts_.name = name;
        facts_.from = provenance::official;
        facts_.budgeted = false;
        facts_.note = symbolic_ ? k_symbolic_note : k_number_note;
        facts_.n_examples = static_cast<int64_t>(rows_.size());
    }

    const task_facts & facts() const override { return facts_; }

    eval_example make(const example_request & request) const override {
        const gsm_row & row = rows_.at(static_cast<size_t>(request.index));
        eval_example e = blank_example(facts_, request);
        e.id = std::to_string(row.line);
        e.turns = row.turns;
        e.question_at = row.question_at;
        e.outputs = row.outputs;
        e.max_new_tokens = k_gsm_infinite_answer_tokens;
        e.meta["op"] = std::to_string(row.op);
        return e;
    }

    task_score score(const eval_example & e, const std::string & answer) const override {
        return symbolic_ ? score_variables(e, answer) : score_number(e, answer);
    }

  private:
    bool symbolic_;
    task_facts facts_;
    std::vector<gsm_row> rows_;
};

}  // namespace

std::unique_ptr<eval_task> open_gsm_infinite_rows(const eval_sources & sources, const char * name) {
    return std::make_unique<gsm_infinite_rows>(sources, name);
}

}  // namespace tmx
