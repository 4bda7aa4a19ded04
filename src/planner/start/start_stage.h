// planner/start/start_stage.h -- a start measured before any mix, and what of it is given back so that it leaves the
// menu its part of the budget.
#pragma once

#include <string>
#include <vector>

#include "planner/mix_runs.h"
#include "planner/settings.h"
#include "planner/start/start_search.h"

namespace tmx {

struct start_outcome {
    start_plan whole;     // as it was given
    start_search search;  // on prompts that choose

    int64_t n_before() const { return static_cast<int64_t>(units_of(whole).size()); }  // heads
    int64_t n_after() const { return n_before() - static_cast<int64_t>(search.given_back.size()); }
};

// For people: "heads 3:2,5;7:3".
std::string text_of_given_back(const start_outcome & o);

// In prefills of the groups; an upper guess.
double weight_of_start(const planner_settings & settings, const mix_runs & runs,
                       const std::vector<prompt_group> & choosing, const std::vector<prompt_group> & held_out);

// settle_start(). With per_head, where that leaves more than half of the start's share of the budget used, what is
// harmful_alone() is given back, too, if what is left still keeps the budget. settings.start becomes what is left.
//
// REQUIRES settings.start; settings those of the runs' stage. ERRORS as mix_runs. failure: what is left is beyond the
// budget.
start_outcome measure_start(planner_settings & settings, mix_runs & runs, int32_t n_layer,
                            const std::vector<prompt_group> & choosing, const std::vector<prompt_group> & held_out);

}  // namespace tmx
