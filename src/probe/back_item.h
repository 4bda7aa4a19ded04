// probe/back_item.h -- a piece of work of the attention's reverse pass: some rows of one head.
#pragma once

#include <cstdint>

#include "probe/section_sums.h"

namespace tmx {

constexpr int64_t k_back_tile = 64;  // rows and keys of a tile

struct back_item {
    int64_t head = 0;
    int64_t row_begin = 0;  // on a tile's border
    int64_t row_end = 0;
    float * dk = nullptr;  // [n, d] of this piece alone, zero before
    float * dv = nullptr;  // [n, d]
    head_sums sums{};
};

}  // namespace tmx
