// plan/index_set.h -- sets of layer or head numbers as text.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "trianglemix/plan.h"

namespace tmx {

// parse_layer_set for any noun ("layer", "head"). n < 0: unknown, then `limit` bounds the numbers. May throw bad_alloc.
parsed<std::vector<int32_t>> parse_index_set(std::string_view text, int32_t n, int32_t limit, std::string_view noun);

}  // namespace tmx
