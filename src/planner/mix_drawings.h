// planner/mix_drawings.h -- the drawings of a planner's report.
#pragma once

#include <vector>

#include "planner/planner_result.h"
#include "planner/settings.h"
#include "profile/page/page_parts.h"

namespace tmx {

// "frontier-pairs", "frontier-ttft" and "choices".
std::vector<report_drawing> mix_drawings(const planner_settings & settings, const planner_result & r);

}  // namespace tmx
