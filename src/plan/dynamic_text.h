// plan/dynamic_text.h -- methods by their names, and rules as users type them.
#pragma once

#include <string>
#include <string_view>

#include "trianglemix/plan.h"

namespace tmx {

// These may throw bad_alloc.

// The number of the method of that name.
parsed<int32_t> parse_method(std::string_view name);

// What a parameter takes, for messages: "a whole number from 1 to 8".
std::string expected_of(const selection_parameter & parameter);

}  // namespace tmx
