// What was counted, as JSON; docs/env.md lists the keys.
#pragma once

#include <string>

#include "backend/ggml_build.h"
#include "backend/settings.h"
#include "backend/statistics.h"

namespace tmx {

// `current`: the settings of whose counts these are. `running`: the host's ggml.
std::string statistics_json(const all_counts & sums, const settings & current, const ggml_build & running);

}  // namespace tmx
