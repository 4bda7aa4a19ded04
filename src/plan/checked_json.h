// plan/checked_json.h -- JSON text to a tree, refusing what would cost too much or mean two things.
#pragma once

#include <nlohmann/json.hpp>
#include <string_view>

#include "trianglemix/plan.h"

namespace tmx {

using json = nlohmann::ordered_json;  // keeps the order of a provenance object's keys

// Errors: not JSON (with line and column), nested deeper than max_depth, more than max_values values, a key twice in
// one object. May throw bad_alloc.
parsed<json> parse_checked_json(std::string_view text, size_t max_depth, size_t max_values);

}  // namespace tmx
