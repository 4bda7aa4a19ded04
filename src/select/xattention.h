// Method "xattention": blocks by the mass of their antidiagonals. XAttention (arXiv 2503.16428), on a grid of absolute
// positions, so that what a tile keeps does not depend on how the prompt was cut.
//
// For each query head, with S the stride: group i is the positions [S i, S i + S). Query and key groups have the logit
//     A[i, j] = sum over t < S of Q[S i + S - 1 - t] . K[S j + t],   times scale / n_i
// in which queries outside the segment's rows and keys behind its last one count as zeros, and n_i is how many queries
// of the group there are (reference = 1: S). P = softmax over j <= i. A tile is scored by every group that holds one of
// its rows: M[J] = sum over these i, and over j in block J, of P[i, j]. Of the masses M, mandatory blocks are taken
// first, then others by falling mass, ties to the lower index, until tau times the sum of all is reached. Tiles that
// see fewer than four blocks keep all of them. Softcap and sink logits of the attention are not looked at.
#pragma once

#include "select/block_budget.h"
#include "trianglemix/selection_rule.h"

namespace tmx {

struct xattention_values {
    int64_t stride = 0;
    double tau = 0;
    double keep = 0;
    bool reference = false;
};

constexpr xattention_values xattention_of(const selection_rule & rule) {
    return {static_cast<int64_t>(rule.values[0]), rule.values[1], rule.values[2], rule.values[3] != 0};
}

// Groups that hold one of these positions.
TMX_HOST_DEVICE constexpr index_range groups_of(index_range positions, int64_t stride) {
    return {positions.begin / stride, (positions.end + stride - 1) / stride};
}

// Queries of a group that the segment, whose rows have these ranks, holds.
TMX_HOST_DEVICE constexpr int64_t queries_of_group(index_range ranks, int64_t stride, int64_t group) {
    return smaller(ranks.end, group * stride + stride) - larger(ranks.begin, group * stride);
}

// What A is divided by, beside scale.
TMX_HOST_DEVICE constexpr int64_t logit_divisor(const xattention_values & values, index_range ranks, int64_t group) {
    return values.reference ? values.stride : queries_of_group(ranks, values.stride, group);
}

// Whether the tile's budget is that of a short prompt: everything.
TMX_HOST_DEVICE constexpr bool too_short_to_select(const xattention_values & values, index_range rows) {
    return !values.reference && blocks_of(rows).end < 4;
}

// The published code estimates in chunks of that many tokens; its choice for a prompt of n tokens.
TMX_HOST_DEVICE constexpr int64_t published_chunk(int64_t n) {
    int64_t power = 1;
    while (power < n) {
        power *= 2;
    }
    return larger(2048, smaller(power, (int64_t{1} << 28) / power));
}

// Whether the published code has lost the sink's mark of this tile when it counts: in the chunk that begins with block
// 0, marking the diagonal overwrites it, but in the first tile, where both are one. Then the sink is one of the others,
// yet the count still takes it for marked, and a tile keeps one block more than it asked for: the first of the others
// stays, and each further one if the mass of the diagonal and of the others before it, without the last of these, is
// below tau times the sum.
TMX_HOST_DEVICE constexpr bool loses_sink_mark(const xattention_values & values, index_range ranks, index_range rows) {
    return values.reference && ranks.begin == 0 && rows.begin > 0 && rows.begin < published_chunk(ranks.end);
}

}  // namespace tmx
