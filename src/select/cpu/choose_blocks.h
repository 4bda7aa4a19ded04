// From the scores of a tile's blocks to its bits, by each form of budget. Bits that are set already are forced: they
// stay, and count.
//
// Blocks are taken by falling score, ties to the lower index. A tile with a score that is not finite keeps all that it
// sees (block_budget.h). Nothing is allocated: these run inside the threads of a method.
#pragma once

#include <cstdint>
#include <span>

#include "trianglemix/block_bitmap.h"

namespace tmx::select_cpu {

struct scored_tile {
    index_range rows;               // ranks
    std::span<const float> scores;  // of blocks [0, size); further ones that the tile sees are forced
    std::span<int32_t> order;       // [scores] scratch
    uint32_t * words = nullptr;     // its bits

    int64_t n_visible() const { return blocks_of(rows).end; }
};

// All that the tile sees.
void keep_all(const scored_tile & tile);

// The best blocks until kept_blocks(keep) of those that the tile sees are kept.
void keep_share(const scored_tile & tile, double keep);

// Scores of at least alpha times the largest one.
void keep_above(const scored_tile & tile, double alpha);

// Forced blocks first, then the best ones until all that are kept hold the share tau of the sum. `lost_sink`: as the
// published code of xattention does it where it lost the sink's mark (loses_sink_mark() in xattention.h).
void keep_until_mass(const scored_tile & tile, double tau, bool lost_sink);

// Each block before which, in that order, there is less than the mass p. REQUIRES scores that add up to 1, about.
void keep_before_mass(const scored_tile & tile, double p);

}  // namespace tmx::select_cpu
