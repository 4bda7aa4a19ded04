// planner/mix_search.h -- from what each choice costs and saves to the combination that is taken, by the KL that
// combinations are measured to have.
//
// Added damages only say in which order to try: where answers are computed with rounded activations, and with few
// prompts, a sum of many small ones is far from what a combination does.
#pragma once

#include <functional>
#include <vector>

#include "planner/frontier.h"

namespace tmx {

// Of the first token, on the prompts that choose or on those held out: the mean at the length where it is largest, or
// anything beyond the budget once it is known to be beyond it.
using combination_kl = std::function<double(const combination & c, bool held_out)>;

struct searched_path {
    std::vector<combination> path;  // from all dense on, each with one layer changed; the time saved grows
    size_t taken = 0;               // number in path; 0: nothing else keeps the budget
};

// 1. Along the table's frontier: a combination within the budget whose next one is not, found by bisection.
// 2. Forward from there, one layer at a time: of all offered entries that save more than what their layer has, the one
//    of the least damage per time saved is tried next. It stays if the combination is still within the budget; if not,
//    the layer is offered nothing of as much damage again. Ends with nothing left to try, or when a row of tries
//    failed.
// 3. Back along this path until held-out prompts agree: 1, 2, 4, ... combinations at a time, then a bisection on these
//    gives back what the last step took too much.
// A KL that is no number is beyond every budget. Dense is never measured.
// forward: false leaves out the second step, which takes what happens to fit the prompts that choose.
searched_path search_mix(const choice_table & table, double budget, const combination_kl & kl, bool forward = true);

// The first step alone: from all dense to that combination.
std::vector<combination> path_along_frontier(const choice_table & table, double budget, const combination_kl & kl);

}  // namespace tmx
