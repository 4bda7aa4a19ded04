// profile/plan_provenance.h -- what a plan says about where it comes from.
#pragma once

#include <nlohmann/json.hpp>
#include <span>
#include <string>

#include "profile/profiler.h"

namespace tmx {

// A GGUF's general.name as a plan may hold it: UTF-8, no control characters, at most 100 bytes.
std::string plan_name_of(const std::string & general_name);

// Parts of what plan_format.md lists, for other plans that are measured.
double rounded(double value);  // to six digits: enough to see, and the same text for the same bits
nlohmann::ordered_json data_json(const profile_settings & settings);
nlohmann::ordered_json check_json(std::span<const set_effect> effects);

// Text of a JSON object, whose keys docs/plan_format.md lists. It holds no times and no dates: the same measurements
// give the same text.
std::string provenance_of(const profile_settings & settings, const profile_result & r);

}  // namespace tmx
