// planner/plan_of_result.h -- the plan of a planner's result, with what it says about where it comes from.
#pragma once

#include "planner/planner_result.h"
#include "planner/settings.h"

namespace tmx {

// The combination that was taken. Its provenance's keys are listed in docs/plan_format.md; it holds measured times, so
// only the same records give the same text. REQUIRES all of the result but the plan; in settings
// what is left of the start.
plan plan_of_result(const planner_settings & settings, const planner_result & r);

}  // namespace tmx
