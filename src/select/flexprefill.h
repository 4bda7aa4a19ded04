// Method "flexprefill": blocks on the lines that the last rows attend to, and for heads whose attention is not of lines
// the blocks that each tile's mean query points at. FlexPrefill (arXiv 2502.20766).
//
// For each query head, from the weights of the segment's last 128 rows (line_sums.h):
//     V[j] = sum of the verticals of key block j,  S[o] = sum of the slashes [128 o, 128 o + 128)
// The head is QUERY-AWARE if D < tau, where D = sqrt(Jensen-Shannon divergence of V and a, natural logarithm),
// a = softmax over j of scale * q . Kbar[j], q the mean of these rows, Kbar[j] the mean key of block j.
//
// Of V, block 0 first, then by falling mass, ties to the lower number, as many are kept as reach the share gamma of all
// mass, the one that reaches it included; at least min_budget tokens' worth of blocks, at most max_budget's (0: no
// limit). Of S likewise, offset 0 first. A query-aware head keeps min_budget of each. A tile keeps the blocks of kept V
// that it sees, and every block in which one of its rows, of 128, meets a slash of a kept S.
// A query-aware head also keeps, over all tiles t and blocks j that they see, by falling R[t][j] until gamma times the
// number of tiles is reached: R[t] = softmax over j of scale * Qbar[t] . Kbar[j], Qbar[t] the mean query of the tile.
// gamma = 1 keeps everything. Softcap of the attention is looked at in the weights alone, sink logits nowhere.
//
// reference = 1, the published rule: S groups slashes so that the last group is whole and the first one may be short;
// the numbers of blocks are c / 128 + 1, where c - 1 numbers of the verticals (slashes) by falling size have a sum of
// at most gamma; kept S stand for the offsets of whole blocks, so that a tile keeps the block o before each block of
// its own rows; of R all are kept whose sum with those before is at most gamma times the number of tiles.
#pragma once

#include <cstdint>
#include <limits>

#include "select/line_bits.h"
#include "trianglemix/selection_rule.h"

namespace tmx {

constexpr int64_t k_flexprefill_rows = 128;

struct flexprefill_values {
    double gamma = 0;
    double tau = 0;
    int64_t min_blocks = 0;
    int64_t max_blocks = 0;
    bool reference = false;
};

constexpr flexprefill_values flexprefill_of(const selection_rule & rule) {
    const auto blocks = [](double tokens) {
        return (static_cast<int64_t>(tokens) + k_bitmap_keys - 1) / k_bitmap_keys;
    };
    const int64_t most = blocks(rule.values[3]);
    return {rule.values[0], rule.values[1], blocks(rule.values[2]),
            most == 0 ? std::numeric_limits<int64_t>::max() : most, rule.values[4] != 0};
}

// How many of `n` blocks a budget is that asks for `wanted`.
TMX_HOST_DEVICE constexpr int64_t clamped_blocks(const flexprefill_values & values, int64_t wanted, int64_t n) {
    return smaller(larger(1, smaller(larger(wanted, values.min_blocks), values.max_blocks)), n);
}

// The group of slash s, of n_keys, is that of 128 which holds s and this. There are as many groups as blocks.
TMX_HOST_DEVICE constexpr int64_t slash_group_shift(const flexprefill_values & values, int64_t n_keys) {
    return values.reference ? (k_bitmap_keys - n_keys % k_bitmap_keys) % k_bitmap_keys : 0;
}
TMX_HOST_DEVICE constexpr int64_t slash_group(const flexprefill_values & values, int64_t n_keys, int64_t s) {
    return (s + slash_group_shift(values, n_keys)) / k_bitmap_keys;
}

// Distances (line_bits.h) of the blocks that a tile at `phase` keeps for kept group o.
TMX_HOST_DEVICE constexpr index_range group_distances(const flexprefill_values & values, int64_t o, int64_t phase) {
    if (values.reference) {
        return {phase == 0 ? o : larger(0, o - 1), o + 1};
    }
    return crossed_distances({o * k_bitmap_keys, (o + 1) * k_bitmap_keys}, phase, k_bitmap_keys);
}

}  // namespace tmx
