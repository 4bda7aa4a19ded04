// eval/tasks/gsm_infinite_score.h -- how answers to GSM-Infinite's problems are scored, official ones and ours alike.
#pragma once

#include <string>

#include "eval/task.h"

namespace tmx {

extern const char * const k_symbolic_note;
extern const char * const k_number_note;

// Right if exactly the variables of e.outputs (sorted) are named.
task_score score_variables(const eval_example & e, const std::string & answer);

// Right if the number is e.outputs' only one; `read` also says what the official parser finds where that differs.
task_score score_number(const eval_example & e, const std::string & answer);

}  // namespace tmx
