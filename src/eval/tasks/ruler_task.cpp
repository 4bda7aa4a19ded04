#include "eval/tasks/ruler_task.h"

#include <utility>

#include "eval/score/answer_match.h"
#include "eval/tasks/blank_example.h"

namespace tmx {

double ruler_match(ruler_metric metric, const std::vector<std::string> & outputs, const std::string & answer) {
    if (outputs.empty()) {
        return 0;
    }
    return metric == ruler_metric::part ? any_answer(answer, outputs) : share_of_answers(answer, outputs);
}

ruler_task::ruler_task(std::string name, provenance from, int64_t max_new_tokens, ruler_metric metric, std::string note)
    : max_new_tokens_(max_new_tokens), metric_(metric) {
    facts_.suite = "ruler";
    facts_.name = std::move(name);
    facts_.from = from;
    facts_.note = std::move(note);
}

task_score ruler_task::score(const eval_example & e, const std::string & answer) const {
    return {ruler_match(metric_, e.outputs, answer), true, ""};
}

eval_example ruler_task::blank(const example_request & request) const {
    eval_example e = blank_example(facts_, request);
    e.max_new_tokens = max_new_tokens_;
    return e;
}

void ruler_task::set_turn(eval_example & e, const std::string & before, const std::string & context,
                          const std::string & question) {
    e.turns = {{"user", before + context + question}};
    e.question_at = before.size() + context.size();
}

std::string joined_list(const std::vector<std::string> & items) {
    std::string text;
    for (size_t i = 0; i < items.size(); ++i) {
        text += i == 0 ? "" : i + 1 < items.size() ? ", " : items.size() > 2 ? ", and " : " and ";
        text += items[i];
    }
    return text;
}

}  // namespace tmx
