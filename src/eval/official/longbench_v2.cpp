#include "eval/official/longbench_v2.h"

#include <fmt/core.h>

#include <string_view>

#include "eval/official/cut_middle.h"
#include "eval/official/fill_template.h"
#include "eval/official/official_files.h"
#include "eval/score/characters.h"
#include "eval/score/choice_letter.h"
#include "eval/tasks/blank_example.h"
#include "measure/hash.h"
#include "runtime/failure.h"

namespace tmx {
namespace {

constexpr int64_t k_most_tokens = 120'000;  // of a prompt, then its middle is cut
constexpr int64_t k_longbench_answer_tokens = 128;

struct v2_row {
    std::string prompt;
    size_t question_at = 0;
    bool expanded = false;
    std::string id, answer, difficulty, length, domain;
};

std::string stripped(const std::string & text) {
    const std::u32string wide = decode_utf8(text);
    return encode_utf8(strip_blanks(wide));
}

v2_row read_row(const nlohmann::json & row, const std::string & format) {
    v2_row read;
    named_texts fields = {{"$DOC$", stripped(text_field(row, "context"))},
                          {"$Q$", stripped(text_field(row, "question"))}};
    for (const char letter : {'A', 'B', 'C', 'D'}) {
        fields.emplace_back(fmt::format("$C_{}$", letter),
                            stripped(text_field(row, fmt::format("choice_{}", letter).c_str())));
    }
    const filled_text filled = replace_markers(format, fields, read.expanded);
    read.prompt = filled.text;
    read.question_at = filled.behind_context;
    read.id = text_field(row, "_id");
    read.answer = text_field(row, "answer");
    if (read.answer.size() != 1 || read.answer[0] < 'A' || read.answer[0] > 'D') {
        throw failure(fmt::format("\"answer\" is \"{}\", not a letter from A to D", read.answer));
    }
    read.difficulty = text_field(row, "difficulty");
    read.length = text_field(row, "length");
    read.domain = text_field(row, "domain");
    return read;
}

class longbench_v2 : public eval_task {
  public:
    longbench_v2(const eval_sources & sources, const char * name)
        : by_likelihood_(std::string_view(name) == "v2_logit") {
        const std::string format = read_whole_text(
            official_file(sources, "longbench_v2/prompts/0shot.txt", "prompts/0shot.txt of LongBench v2"));
        facts_.files = sha256_of_text(format);
        facts_.files +=
            read_json_array(official_file(sources, "longbench_v2/data.json", "LongBench v2's array of rows"),
                            [&](int64_t, const nlohmann::json & row) { rows_.push_back(read_row(row, format)); });
        facts_.suite = "longbench-v2";
        facts_.name = name;
        facts_.from = provenance::official;
        facts_.budgeted = false;
        facts_.chance = 0.25;
        facts_.note = by_likelihood_ ? "the likeliest letter, not an answer's text" : "";
        facts_.in_average = !by_likelihood_;
        facts_.n_examples = static_cast<int64_t>(rows_.size());
    }

    const task_facts & facts() const override { return facts_; }
    eval_example make(const example_request & request) const override;

    task_score score(const eval_example & e, const std::string & answer) const override {
        const std::optional<char> letter = choice_letter(by_likelihood_ ? "The correct answer is" + answer : answer);
        if (!letter) {
            return {0, false, ""};
        }
        const std::string read(1, *letter);
        return {read == e.outputs.front() ? 1.0 : 0.0, true, read};
    }

  private:
    bool by_likelihood_;
    task_facts facts_;
    std::vector<v2_row> rows_;
};

eval_example longbench_v2::make(const example_request & request) const {
    const v2_row & row = rows_.at(static_cast<size_t>(request.index));
    eval_example e = blank_example(facts_, request);
    e.id = row.id;
    e.turns = {{"user", row.prompt}};
    e.question_at = row.question_at;
    e.outputs = {row.answer};
    e.max_new_tokens = k_longbench_answer_tokens;
    if (by_likelihood_) {
        e.answer_prefix = "The correct answer is";
        e.choices = {" (A)", " (B)", " (C)", " (D)"};
    }
    e.gold = fmt::format("{} ({})", by_likelihood_ ? "" : "The correct answer is", row.answer);
    e.meta = {{"difficulty", row.difficulty}, {"length", row.length}, {"domain", row.domain}};
    if (row.expanded) {
        e.meta["expanded"] = "a text of the row holds a marker of the prompt's format, and was filled in, too";
    }
    cut_middle(e, k_most_tokens, request);
    return e;
}

}  // namespace

std::unique_ptr<eval_task> open_longbench_v2(const eval_sources & sources, const char * name) {
    return std::make_unique<longbench_v2>(sources, name);
}

}  // namespace tmx
