// profile/report_drawings.h -- the drawings of a profile's report.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "profile/page/page_parts.h"
#include "profile/profiler.h"

namespace tmx {

std::vector<report_drawing> report_drawings(const profile_settings & settings, const profile_result & r);

// How long the prompts were: "7,600 tokens", "4,032 to 8,064 tokens"; "" without prompts.
std::string lengths_text(const std::vector<set_effect> & effects, const std::vector<prompt_gradient> & gradients);

}  // namespace tmx
