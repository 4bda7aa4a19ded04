#include "eval/tasks/blank_example.h"

namespace tmx {

eval_example blank_example(const task_facts & facts, const example_request & request) {
    eval_example e;
    e.suite = facts.suite;
    e.task = facts.name;
    e.id = std::to_string(request.index);
    e.from = facts.from;
    e.length_budget = facts.budgeted ? request.budget : 0;
    return e;
}

}  // namespace tmx
