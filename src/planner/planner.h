// planner/planner.h -- which entry of a menu each layer takes, so that prompts are computed as fast as a budget of
// damage allows: measure, combine, check; then the plan and all that a report shows. docs/profile.md says how.
#pragma once

#include "measure/progress.h"
#include "planner/planner_result.h"
#include "planner/settings.h"
#include "runtime/backend.h"

namespace tmx {

// REQUIRES our backend loaded; prompts that check_prompts() lets through, some of them held out.
// ERRORS failure, interrupted: what was measured is on file.
planner_result run_planner(const planner_settings & settings, backend & b, const model & m, const prompt_pool & prompts,
                           const progress_sink & sink);

}  // namespace tmx
