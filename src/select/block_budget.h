// How many and which blocks a tile keeps by the scores that a method gave them. For host and device.
//
// Where a tile has a score that is not finite, because a key or query is none, it keeps every block that it sees: what
// cannot be judged is kept.
#pragma once

#include "trianglemix/block_bitmap.h"

namespace tmx {

// Blocks that `keep`, a share of the tile's `n_visible` blocks, is: the next whole number, mandatory blocks counted in
// it. Products that miss a whole number by the rounding of a decimal share are that number.
TMX_HOST_DEVICE constexpr int64_t kept_blocks(double keep, int64_t n_visible) {
    const double share = keep * static_cast<double>(n_visible);
    const auto whole = static_cast<int64_t>(share);
    const double over = share - static_cast<double>(whole);
    return over > 1e-9 ? whole + 1 : whole;
}

// Of a method that keeps blocks until they hold a share of the mass: whether all are wanted, those without mass too.
TMX_HOST_DEVICE constexpr bool wants_all(double share) {
    return share >= 1;
}

}  // namespace tmx
