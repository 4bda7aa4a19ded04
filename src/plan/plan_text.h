// plan/plan_text.h -- parse_plan for callers that handle bad_alloc themselves.
#pragma once

#include <string_view>

#include "trianglemix/plan.h"

namespace tmx {

parsed<plan> parse_plan_text(std::string_view text);

}  // namespace tmx
