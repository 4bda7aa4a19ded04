// What the kernels that score mean keys are told, and the tiles that they score.
#pragma once

#include "select/cuda/operands.h"
#include "select/cuda/waves.h"
#include "select/means.h"

namespace tmx::cuda {

// The compiled kernel for a head dimension.
constexpr int64_t score_dim(int64_t d) {
    return d <= 64 ? 64 : d <= 128 ? 128 : 256;
}

struct score_params {
    query_rows queries;
    const void * means;  // [key head][n_padded][k_dim], see the kernels for their order
    int64_t n_padded;
    float * scores;  // [key head of the wave][tile of the wave][row_scores]
    int64_t row_scores;
    index_range ranks;
    wave part;  // of key heads
    int32_t group;
    int32_t d;
    float scale_log2;
    float q_sign;
    bool one_peak;  // weights are relative to the tile's largest logit, not the row's
};

// One tile of one key head.
struct scored_tile {
    const float * queries;  // of the tile's first row and the group's first head
    const void * means;     // of the key head
    float * scores;
    int32_t head_kv;
    int32_t n_rows;
    int32_t n_scored;  // blocks
    float peak;        // with score_params::one_peak: the largest logit so far
    float rescale;     // what the scores of earlier sets must be multiplied by
};

__device__ inline scored_tile tile_of(const score_params & p, int64_t number) {
    const int64_t head = number % p.part.n_heads;
    const int64_t tile = p.part.n_tiles - 1 - number / p.part.n_heads;  // those of most work first
    const int64_t head_kv = p.part.head_begin + head;
    const int64_t row = (p.part.tile_begin + tile) * k_bitmap_rows;  // of the segment
    const index_range rows = {p.ranks.begin + row, smaller(p.ranks.begin + row + k_bitmap_rows, p.ranks.end)};
    return {p.queries.data + head_kv * p.group * p.queries.stride_head + row * p.queries.stride_row,
            static_cast<const uint16_t *>(p.means) + head_kv * p.n_padded * score_dim(p.d),
            p.scores + (head * p.part.n_tiles + tile) * p.row_scores,
            static_cast<int32_t>(head_kv),
            static_cast<int32_t>(rows.size()),
            static_cast<int32_t>(scored_blocks(rows)),
            -INFINITY,
            1};
}

}  // namespace tmx::cuda
