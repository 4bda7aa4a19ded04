// What was counted, in a few lines for people.
#pragma once

#include <string>

#include "backend/settings.h"
#include "backend/statistics.h"

namespace tmx {

// `current`: the settings of whose counts these are.
std::string statistics_summary(const all_counts & sums, const settings & current);

}  // namespace tmx
