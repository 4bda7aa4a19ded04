#include "eval/official/longbench.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "eval/official/cut_middle.h"
#include "eval/official/fill_template.h"
#include "eval/official/official_files.h"
#include "eval/score/longbench_score.h"
#include "eval/score/rouge_l.h"
#include "eval/tasks/blank_example.h"
#include "measure/hash.h"
#include "runtime/failure.h"

namespace tmx {
namespace {

constexpr size_t k_walk_python_gives_up = 980;  // steps of a recursion; the limit is 1000, less what called it

struct longbench_row {
    std::string prompt;
    size_t question_at = 0;
    std::vector<std::string> answers;
    std::vector<std::string> classes;
    std::string cluster;  // by its context: several questions share one
    int64_t n_words = 0;
};

const char * bucket_of(int64_t n_words) {
    return n_words < 4000 ? "0-4k" : n_words < 8000 ? "4-8k" : "8k+";
}

longbench_row read_row(const nlohmann::json & row, const longbench_dataset & dataset, const std::string & format) {
    longbench_row read;
    const std::string context = text_field(row, "context");
    const filled_text filled = fill_braces(format, {{"context", context}, {"input", text_field(row, "input")}});
    read.prompt = filled.text;
    read.question_at = filled.behind_context;
    read.answers = texts_field(row, "answers");
    if (row.contains("all_classes") && !row["all_classes"].is_null()) {
        read.classes = texts_field(row, "all_classes");
    }
    const std::string problem = check_longbench_answers(dataset.metric, read.answers, read.classes);
    if (!problem.empty()) {
        throw failure(problem);
    }
    read.cluster = sha256_of_text(context).substr(0, 16);
    read.n_words = whole_field(row, "length");
    return read;
}

class longbench : public eval_task {
  public:
    longbench(const eval_sources & sources, const char * name, bool of_e);

    const task_facts & facts() const override { return facts_; }
    eval_example make(const example_request & request) const override;
    task_score score(const eval_example & e, const std::string & answer) const override;

  private:
    const longbench_dataset * dataset_;
    code_rule code_;
    task_facts facts_;
    int64_t max_new_tokens_ = 0;
    std::vector<longbench_row> rows_;
};

longbench::longbench(const eval_sources & sources, const char * name, bool of_e)
    : dataset_(find_longbench_dataset(name)), code_(sources.code) {
    if (dataset_ == nullptr || (of_e && !dataset_->in_e)) {
        throw failure(fmt::format("LongBench{} has no English dataset {}", of_e ? "-E" : "", name));
    }
    const auto setting = [&](const char * file) {
        const std::string path = official_file(sources, std::string("longbench/config/") + file,
                                               std::string("config/") + file + " of the LongBench repository");
        const nlohmann::json settings = read_json_object(path);
        if (!settings.contains(name)) {
            throw failure(fmt::format("{} says nothing of {}", path, name));
        }
        facts_.files += sha256_of_text(settings[name].dump());
        return settings[name];
    };
    const nlohmann::json format = setting("dataset2prompt.json");
    const nlohmann::json most = setting("dataset2maxlen.json");
    if (!format.is_string() || !most.is_number_unsigned()) {
        throw failure("LongBench's config files give a text (the prompt) and a number of tokens for each dataset");
    }
    max_new_tokens_ = most.get<int64_t>();
    const std::string file = fmt::format("longbench/data/{}{}.jsonl", name, of_e ? "_e" : "");
    facts_.files += read_json_lines(official_file(sources, file, "the dataset out of LongBench's archive of data"),
                                    [&](int64_t, const nlohmann::json & row) {
                                        rows_.push_back(read_row(row, *dataset_, format.get<std::string>()));
                                    });
    facts_.suite = of_e ? "longbench-e" : "longbench";
    facts_.name = name;
    facts_.from = provenance::official;
    facts_.budgeted = false;
    facts_.binary = false;
    facts_.note = name_of(dataset_->metric);
    if (dataset_->metric == longbench_metric::code_similarity) {
        facts_.note += fmt::format(" ({})", name_of(code_));
    }
    facts_.n_examples = static_cast<int64_t>(rows_.size());
}

eval_example longbench::make(const example_request & request) const {
    const longbench_row & row = rows_.at(static_cast<size_t>(request.index));
    eval_example e = blank_example(facts_, request);
    e.turns = {{"user", row.prompt}};
    e.question_at = row.question_at;
    e.chat_template = dataset_->chat;
    e.outputs = row.answers;
    e.classes = row.classes;
    e.max_new_tokens = max_new_tokens_;
    if (dataset_->ends_at_line) {
        e.stops = {"\n"};
        e.min_new_tokens = 1;
    }
    if (dataset_->metric != longbench_metric::rouge_l) {
        const bool goes_on = !dataset_->chat && row.prompt.find_last_of(" \n") != row.prompt.size() - 1;
        e.gold = (goes_on ? " " : "") + row.answers.front();
    }
    e.cluster = row.cluster;
    e.meta["bucket"] = bucket_of(row.n_words);
    e.meta["group"] = dataset_->group;
    cut_middle(e, -1, request);
    return e;
}

task_score longbench::score(const eval_example & e, const std::string & answer) const {
    task_score scored;
    scored.value = longbench_score(*dataset_, answer, e.outputs, e.classes, code_);
    if (dataset_->metric == longbench_metric::rouge_l) {
        const bool given_up = std::any_of(e.outputs.begin(), e.outputs.end(), [&](const std::string & output) {
            return rouge_l(answer, output).longest_walk > k_walk_python_gives_up;
        });
        scored.read = given_up ? "too long for the official script, which counts 0" : "";
    }
    return scored;
}

}  // namespace

std::unique_ptr<eval_task> open_longbench_e(const eval_sources & sources, const char * name) {
    return std::make_unique<longbench>(sources, name, true);
}

std::unique_ptr<eval_task> open_longbench(const eval_sources & sources, const char * name) {
    return std::make_unique<longbench>(sources, name, false);
}

}  // namespace tmx
