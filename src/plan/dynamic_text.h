// plan/dynamic_text.h -- methods by their names, and rules as users type them.
#pragma once

#include <string_view>

#include "trianglemix/plan.h"

namespace tmx {

// The number of the method of that name. May throw bad_alloc.
parsed<int32_t> parse_method(std::string_view name);

}  // namespace tmx
