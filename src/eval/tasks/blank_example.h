// eval/tasks/blank_example.h -- how every example begins, whichever task makes it.
#pragma once

#include "eval/task.h"

namespace tmx {

// An example of the task without texts: suite, task, id, from and length_budget. The id is the request's index.
eval_example blank_example(const task_facts & facts, const example_request & request);

}  // namespace tmx
