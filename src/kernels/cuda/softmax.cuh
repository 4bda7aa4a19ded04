// Online softmax of a thread's two rows (those of an MMA accumulator: four threads share a row), in base 2.
#pragma once

#include <cuda_runtime.h>

#include "kernels/cuda/launch.h"
#include "kernels/cuda/ptx.cuh"
#include "kernels/cuda/work_item.h"

namespace tmx::cuda {

// Accumulator of one 16 x 8 block of logits: columns 2 * (lane % 4) + {0, 1} of rows lane / 4 (c[0], c[1]) and
// lane / 4 + 8 (c[2], c[3]).
struct row_pair {
    float maximum[2];  // of the logits so far, before scaling; -inf if none was kept
    float sum[2];      // of this thread's weights

    __device__ void start() {
        maximum[0] = maximum[1] = -INFINITY;
        sum[0] = sum[1] = 0;
    }
};

// What a packed row keeps. Rows beyond the item's last are computed like it, and never written.
__device__ inline kept_row kept_by(const item_place & place, const item_walk & walk, int row) {
    const packed_row at = unpack(place, smaller(row, place.packed_rows() - 1));
    return row_of(walk.kept(), place.rank_begin + at.position);
}

// -inf where packed rows first_row and first_row + 8 drop the key, for the tile that starts with slice `first_slice`.
// `logits` is [blocks of 8 keys][4].
template <int k_blocks>
__device__ inline void mask_logits(float (&logits)[k_blocks * 4], int first_row, const item_place & place,
                                   const item_walk & whole_walk, const int32_t * first_ranks, int32_t first_slice) {
    const item_walk walk = whole_walk;  // read once, not once a slice
    const kept_row kept[2] = {kept_by(place, walk, first_row), kept_by(place, walk, first_row + 8)};
    const int column = threadIdx.x % 4 * 2;
#pragma unroll
    for (int pair = 0; pair < k_blocks / 2; ++pair) {
        const int32_t begin = slice_rank(walk, first_ranks, first_slice + pair);
        const int32_t end = slice_limit(walk, first_slice + pair);
        const bool whole = (begin + k_slice <= end) & keeps_all(kept[0], begin, begin + k_slice) &
                           keeps_all(kept[1], begin, begin + k_slice);
        if (__all_sync(0xffffffff, whole)) {
            continue;
        }
#pragma unroll
        for (int r = 0; r < 2; ++r) {
            const kept_row near = counted_from(kept[r], begin + column, end);
#pragma unroll
            for (int i = 0; i < 4; ++i) {  // keys 0, 1, 8, 9 from the thread's first on
                float & logit = logits[(pair * 2 + i / 2) * 4 + r * 2 + i % 2];
                logit = keeps(near, i / 2 * 8 + i % 2) ? logit : -INFINITY;
            }
        }
    }
}

// The largest of a row's logits in a tile and of `maximum`.
template <int k_blocks>
__device__ inline float tile_maximum(const float (&logits)[k_blocks * 4], int r, float maximum) {
#pragma unroll
    for (int block = 0; block < k_blocks; ++block) {
        maximum = fmaxf(maximum, fmaxf(logits[block * 4 + r * 2], logits[block * 4 + r * 2 + 1]));
    }
    maximum = fmaxf(maximum, __shfl_xor_sync(0xffffffff, maximum, 1));
    return fmaxf(maximum, __shfl_xor_sync(0xffffffff, maximum, 2));
}

// Logits become weights; rescale[r] is what earlier sums of row r must be multiplied by. `maxima`: of the tile, if
// they are known.
template <int k_blocks>
__device__ inline void weigh(float (&logits)[k_blocks * 4], row_pair & rows, float scale_log2, float (&rescale)[2],
                             const float * maxima = nullptr) {
#pragma unroll
    for (int r = 0; r < 2; ++r) {
        const float maximum =
            maxima != nullptr ? fmaxf(rows.maximum[r], maxima[r]) : tile_maximum<k_blocks>(logits, r, rows.maximum[r]);
        const float base = maximum == -INFINITY ? 0.0f : maximum;
        rescale[r] = ptx::exp2((rows.maximum[r] - base) * scale_log2);
        rows.maximum[r] = maximum;
        const float offset = k_weight_shift - base * scale_log2;
        float sum = 0;
#pragma unroll
        for (int block = 0; block < k_blocks; ++block) {
#pragma unroll
            for (int i = 0; i < 2; ++i) {
                float & logit = logits[block * 4 + r * 2 + i];
                logit = ptx::exp2(fmaf(logit, scale_log2, offset));
                sum += logit;
            }
        }
        rows.sum[r] = rows.sum[r] * rescale[r] + sum;
    }
}

}  // namespace tmx::cuda
