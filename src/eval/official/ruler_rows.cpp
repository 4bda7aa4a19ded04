#include "eval/official/ruler_rows.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <map>
#include <string_view>

#include "eval/official/official_files.h"
#include "eval/tasks/blank_example.h"
#include "eval/tasks/ruler_task.h"
#include "runtime/failure.h"

namespace tmx {
namespace {

struct ruler_row {
    std::string input, answer_prefix;
    std::vector<std::string> outputs;
};

// Tokens of answer, as RULER's scripts/data/synthetic/constants.py gives them.
int64_t answer_tokens(std::string_view task) {
    const std::string_view kind = task.substr(0, task.find('_'));
    return kind == "niah" ? 128 : kind == "vt" ? 30 : kind == "cwe" ? 120 : kind == "fwe" ? 50 : 32;
}

bool begins_with(std::string_view task, std::string_view kind) {
    return task.substr(0, kind.size()) == kind;
}

// Or any of several counts.
bool has_one_answer(std::string_view task) {
    return begins_with(task, "qa") || begins_with(task, "niah_single") || begins_with(task, "niah_multikey");
}

void refuse_template(const std::string & text) {
    for (const char * mark : {"<|start_header_id|>", "<|im_start|>", "[INST]", "<|user|>", "<start_of_turn>"}) {
        if (text.find(mark) != std::string::npos) {
            throw failure(
                fmt::format("the row holds a chat template ({}); here it is the model's own: make rows with "
                            "--model_template_type base",
                            mark));
        }
    }
}

class ruler_rows : public eval_task {
  public:
    ruler_rows(const eval_sources & sources, const char * name, bool raw) : raw_(raw) {
        const std::filesystem::path top =
            official_file(sources, "ruler", "the folder of lengths that RULER's scripts made, with rows in them");
        if (!std::filesystem::is_directory(top)) {
            throw failure(top.string() + " is no folder");
        }
        std::map<int64_t, std::string> hashes;
        for (const auto & entry : std::filesystem::directory_iterator(top)) {
            const std::string folder = entry.path().filename().string();
            int64_t length = 0;
            const auto [end, error] = std::from_chars(folder.data(), folder.data() + folder.size(), length);
            if (error != std::errc() || end != folder.data() + folder.size() || length <= 0) {
                continue;
            }
            for (const char * data : {"data", "."}) {
                const std::filesystem::path path = entry.path() / data / name / "validation.jsonl";
                if (rows_[length].empty() && std::filesystem::exists(path)) {
                    hashes[length] = read_rows(path.string(), rows_[length]);
                }
            }
        }
        std::erase_if(rows_, [](const auto & at_length) { return at_length.second.empty(); });
        if (rows_.empty()) {
            throw failure(fmt::format("{} has no rows of {}: they are looked for in LENGTH/data/{}/validation.jsonl",
                                      top.string(), name, name));
        }
        for (const auto & [length, hash] : hashes) {
            facts_.files += hash;
        }
        facts_.suite = raw ? "ruler-raw-rows" : "ruler-rows";
        facts_.name = name;
        facts_.from = provenance::official;
        facts_.binary = has_one_answer(name);
        facts_.note = raw ? "raw text, no chat template" : "";
        facts_.n_examples =
            static_cast<int64_t>(std::min_element(rows_.begin(), rows_.end(), [](const auto & a, const auto & b) {
                                     return a.second.size() < b.second.size();
                                 })->second.size());
    }

    const task_facts & facts() const override { return facts_; }
    eval_example make(const example_request & request) const override;

    task_score score(const eval_example & e, const std::string & answer) const override {
        const bool part = begins_with(e.task, "qa");
        return {ruler_match(part ? ruler_metric::part : ruler_metric::all, e.outputs, answer), true, ""};
    }

  private:
    // Returns the file's SHA-256.
    std::string read_rows(const std::string & path, std::vector<ruler_row> & rows) const {
        return read_json_lines(path, [&](int64_t, const nlohmann::json & row) {
            ruler_row read;
            read.input = text_field(row, "input");
            read.outputs = texts_field(row, "outputs");
            if (read.outputs.empty()) {
                throw failure("\"outputs\" is empty");
            }
            refuse_template(read.input);
            if (row.contains("answer_prefix")) {
                read.answer_prefix = text_field(row, "answer_prefix");
            } else if (!raw_) {
                throw failure(
                    "has no \"answer_prefix\", so that the beginning of the answer is a part of its input; "
                    "such rows can only be gone on with as raw text: ask for ruler-raw-rows");
            }
            rows.push_back(std::move(read));
        });
    }

    bool raw_;
    task_facts facts_;
    std::map<int64_t, std::vector<ruler_row>> rows_;  // by length
};

eval_example ruler_rows::make(const example_request & request) const {
    const auto found = rows_.find(request.budget);
    if (found == rows_.end()) {
        std::string known;
        for (const auto & [length, rows] : rows_) {
            known += (known.empty() ? "" : ", ") + std::to_string(length);
        }
        throw failure(fmt::format("there are no rows of {} for a length of {}; there are some for {}", facts_.name,
                                  request.budget, known));
    }
    const ruler_row & row = found->second.at(static_cast<size_t>(request.index));
    eval_example e = blank_example(facts_, request);
    e.chat_template = !raw_;
    // The prefix is lost in some versions of the scripts; it always goes behind the input.
    e.turns = {{"user", raw_ ? row.input + row.answer_prefix : row.input}};
    e.answer_prefix = raw_ ? "" : row.answer_prefix;
    // The last line asks; what stands before it is context.
    const size_t text_end = row.input.find_last_not_of(" \n");
    const size_t line = text_end == std::string::npos ? text_end : row.input.rfind('\n', text_end);
    e.question_at = line == std::string::npos ? 0 : line + 1;
    e.outputs = row.outputs;
    e.max_new_tokens = answer_tokens(facts_.name);
    const std::string & before = row.answer_prefix.empty() ? row.input : row.answer_prefix;
    const bool part = begins_with(facts_.name, "qa");
    if (!before.empty() && before.back() != ' ' && before.back() != '\n') {
        e.gold += ' ';
    }
    for (size_t i = 0; i < (part ? 1 : row.outputs.size()); ++i) {
        e.gold += (i > 0 ? ", " : "") + row.outputs[i];
    }
    return e;
}

}  // namespace

std::unique_ptr<eval_task> open_ruler_rows(const eval_sources & sources, const char * name) {
    return std::make_unique<ruler_rows>(sources, name, false);
}

std::unique_ptr<eval_task> open_ruler_raw_rows(const eval_sources & sources, const char * name) {
    return std::make_unique<ruler_rows>(sources, name, true);
}

}  // namespace tmx
