#include "eval/tasks/gsm_infinite_score.h"

#include <set>

#include "eval/score/gsm_infinite_answer.h"

namespace tmx {

const char * const k_symbolic_note = "symbolic-regex: variables are read by rule, not by a second model";
const char * const k_number_note =
    "robust parser; where the official one reads something else, that is shown beside it";

task_score score_variables(const eval_example & e, const std::string & answer) {
    const std::set<std::string> named = named_variables(answer);
    const std::set<std::string> right(e.outputs.begin(), e.outputs.end());
    task_score scored{named == right ? 1.0 : 0.0, !named.empty(), ""};
    for (const std::string & name : named) {
        scored.read += (scored.read.empty() ? "" : " ") + name;
    }
    return scored;
}

task_score score_number(const eval_example & e, const std::string & answer) {
    const std::optional<std::string> number = robust_number(answer);
    const std::optional<std::string> official = official_number(answer);
    task_score scored{number == e.outputs.front() ? 1.0 : 0.0, number.has_value(), number.value_or("")};
    if (number != official) {
        scored.read += " (official parser: " + official.value_or("none") + ")";
    }
    return scored;
}

}  // namespace tmx
