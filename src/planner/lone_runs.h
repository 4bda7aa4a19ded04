// planner/lone_runs.h -- what an entry does in one layer, or in one head, alone: all else is dense, and the start is
// left out.
//
// KL grows with the square of what a change does to the answer's logits. Beside a start, or in company, the larger part
// of what one more change adds is its product with what is there, of either sign and another for each prompt. Alone
// there is no such product: what was measured is of the change itself.
#pragma once

#include <string>
#include <vector>

#include "planner/mix_runs.h"
#include "planner/planner_result.h"
#include "planner/settings.h"

namespace tmx {

struct lone_job {
    layer_mix mix;
    std::string what;  // for people
};

// REQUIRES everything it is given to outlive it; settings those of the runs' stage. ERRORS as mix_runs.
class lone_runs {
  public:
    lone_runs(planner_settings & settings, mix_runs & runs, const prompt_pool & prompts)
        : settings_(settings), runs_(runs), prompts_(prompts) {}

    // [jobs][prompts of the groups]. Context by context: each one's dense answers are needed once.
    std::vector<std::vector<mix_effect>> run(const std::string & name, const std::vector<prompt_group> & groups,
                                             const std::vector<lone_job> & jobs);

  private:
    planner_settings & settings_;
    mix_runs & runs_;
    const prompt_pool & prompts_;

    std::vector<std::vector<size_t>> contexts_of(const std::vector<prompt_group> & groups) const;
};

// effects: on the prompts of the groups.
damage damage_of(const std::vector<prompt_group> & groups, const std::vector<mix_effect> & effects);

}  // namespace tmx
