// eval/tasks/fit_budget.h -- how many units of filling (words, lines, documents) a prompt may have within its budget.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "eval/task.h"

namespace tmx {

struct unit_limits {
    int64_t least = 1;     // fewer make no example
    int64_t most = 0;      // there are no more; 0: any number
    double per_unit = 10;  // tokens, about: where the search begins
};

// The example of the most units for which prompt and answer stay within the request's budget; of the two or three last
// units it may lack some, where another count would cost more than they are worth (a filling of 99.5% is enough).
// build: the example of that many units; more units never make a shorter prompt.
// ERRORS failure: not even `least` units fit; names the task and the tokens that these need.
eval_example fit_units(const example_request & request, const unit_limits & limits,
                       const std::function<eval_example(int64_t units)> & build);

}  // namespace tmx
