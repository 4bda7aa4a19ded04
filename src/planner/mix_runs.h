// planner/mix_runs.h -- measurements of a planner's run, in rows: with progress, and no further than they are needed.
#pragma once

#include <functional>
#include <set>
#include <string>
#include <vector>

#include "planner/mix_stage.h"
#include "planner/prompt_groups.h"
#include "profile/run_estimate.h"

namespace tmx {

// One measurement.
struct mix_job {
    layer_mix mix;
    size_t prompt = 0;
    std::string what;  // for people
};

// REQUIRES everything it is given to outlive it. ERRORS as mix_stage.
class mix_runs {
  public:
    mix_runs(mix_stage & stage, run_clock & clock, const prompt_pool & prompts)
        : stage_(stage), clock_(clock), prompts_(prompts) {}

    double weight_of(const std::vector<prompt_group> & groups) const;

    // In their order, until `enough` says so of the effects so far. name: of the stage, for people. What is on file
    // costs nothing; a prompt's dense answer is computed with the first that needs it.
    std::vector<mix_effect> run(
        const std::string & name, const std::vector<mix_job> & jobs,
        const std::function<bool(const std::vector<mix_effect> & so_far)> & enough = [](const auto &) {
            return false;
        });

    // The mix on all prompts of the groups, group by group; or on the first, once these alone say that a group's
    // mean first-token KL is not within the budget.
    std::vector<mix_effect> run_within(const std::string & name, const mix_job & job,
                                       const std::vector<prompt_group> & groups, double budget);

    // Of each group's contexts the half whose answers change most: what any change does shows there first. effects: on
    // all prompts of the groups.
    std::vector<prompt_group> half_that_tells(const std::vector<prompt_group> & groups,
                                              const std::vector<mix_effect> & effects) const;

  private:
    mix_stage & stage_;
    run_clock & clock_;
    const prompt_pool & prompts_;

    double weight_of(const mix_job & job, const mix_job * before, std::set<size_t> & with_dense) const;
};

}  // namespace tmx
