// identity/windowed_layers.h -- plans and layers that see the latest tokens only.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "trianglemix/plan.h"

namespace tmx {

// `windows`, of both: as attention_windows() reads them.
// Takes layers with windows out of the plan. Returns which they were, ascending.
std::vector<int32_t> leave_windowed_layers(plan & p, std::span<const int32_t> windows);

// What that means, for people. REQUIRES layers that have windows, at least one.
std::string windows_note(std::span<const int32_t> windows, const std::vector<int32_t> & layers);

}  // namespace tmx
