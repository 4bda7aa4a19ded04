// profile/plan_provenance.h -- what a plan says about where it comes from.
#pragma once

#include <string>

#include "profile/profiler.h"

namespace tmx {

// A GGUF's general.name as a plan may hold it: UTF-8, no control characters, at most 100 bytes.
std::string plan_name_of(const std::string & general_name);

// Text of a JSON object, whose keys docs/plan_format.md lists. It holds no times and no dates: the same measurements
// give the same text.
std::string provenance_of(const profile_settings & settings, const profile_result & r);

}  // namespace tmx
