#include "eval/official/solved_examples.h"

#include "eval/official/official_files.h"
#include "eval/tasks/example_random.h"
#include "eval/tasks/fit_budget.h"

namespace tmx {

std::vector<std::string> read_solved_examples(const eval_sources & sources, std::string & files) {
    std::vector<std::string> examples;
    files += read_json_lines(official_file(sources, "gsm8k/train.jsonl", "GSM8K's training file"),
                             [&](int64_t, const nlohmann::json & row) {
                                 examples.push_back("Question: " + text_field(row, "question") +
                                                    "\nAnswer: " + text_field(row, "answer") + "\n\n");
                             });
    return examples;
}

std::string some_solved_examples(const std::vector<std::string> & examples, const example_request & request,
                                 const std::string & task, int64_t n) {
    random_source random = example_random(request, task, "solved examples");
    const std::vector<size_t> order = shuffled_numbers(random, examples.size());
    std::string text;
    for (int64_t i = 0; i < n; ++i) {
        text += examples[order[static_cast<size_t>(i)]];
    }
    return text;
}

eval_example fit_solved_examples(const example_request & request, const std::vector<std::string> & examples,
                                 const std::function<eval_example(int64_t)> & build) {
    constexpr double k_tokens = 160;  // of one, about
    return fit_units(request, {1, static_cast<int64_t>(examples.size()), k_tokens}, build);
}

}  // namespace tmx
