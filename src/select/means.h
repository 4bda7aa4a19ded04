// Method "means": blocks whose mean key the rows of a tile score highly. FlashPrefill v2's rule (arXiv 2608.19758).
//
// For a tile of rows and a key head, over the rows of all query heads of its group alike:
//     E[J] = sum over (row, head) of 2^(z - m),  z = scale * log2(e) * q . Kbar[J],  Kbar[J] = mean key of block J
// of the scored blocks, those whose keys the tile's last row sees all. A row has no vote on blocks whose first key
// it does not see. m is the row's own largest z over the blocks that it votes on; with reference = 1 the largest one of
// the tile, which leaves rows of low logits without a vote. A block stays if E[J] >= alpha * max E, or by `keep`.
// Softcap and sink logits of the attention are not looked at.
#pragma once

#include "select/block_budget.h"
#include "trianglemix/selection_rule.h"

namespace tmx {

struct means_values {
    double alpha = 0;
    double keep = 0;
    bool reference = false;
};

constexpr means_values means_of(const selection_rule & rule) {
    return {rule.values[0], rule.values[1], rule.values[2] != 0};
}

// Blocks [0, n) are scored, for a tile of rows of these ranks; the others that it sees are mandatory.
TMX_HOST_DEVICE constexpr int64_t scored_blocks(index_range rows) {
    return rows.end / k_bitmap_keys;
}

// Of the scored blocks, [0, n) are those that the row of this rank votes on.
TMX_HOST_DEVICE constexpr int64_t voted_blocks(index_range rows, int64_t rank) {
    return smaller(scored_blocks(rows), rank / k_bitmap_keys + 1);
}

// What every tile keeps whatever the scores: the mandatory blocks; by the published rule also the first two blocks, and
// the four that end with that of the tile's last row.
TMX_HOST_DEVICE constexpr uint32_t means_forced_bits(bool reference, index_range rows, int64_t word) {
    uint32_t bits = mandatory_bits(rows, word);
    if (reference) {
        const int64_t n_visible = blocks_of(rows).end;
        bits |= range_bits({0, smaller(2, n_visible)}, word) | range_bits({larger(0, n_visible - 4), n_visible}, word);
    }
    return bits;
}

TMX_HOST_DEVICE constexpr bool passes_alpha(float score, double alpha, float largest) {
    return score >= static_cast<float>(alpha) * largest;
}

}  // namespace tmx
