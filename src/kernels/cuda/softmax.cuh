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

// Softcap: logits to tanh(logit * scale). From 1 - 2 / (e^2x + 1): an error of some 2^-22, whatever x.
template <int k_blocks>
__device__ inline void cap_logits(float (&logits)[k_blocks * 4], float scale) {
    constexpr float k_twice_log2_e = 2.88539008177793f;
#pragma unroll
    for (int i = 0; i < k_blocks * 4; ++i) {
        const float power = ptx::exp2(logits[i] * (scale * k_twice_log2_e));
        logits[i] = fmaf(-2.0f, ptx::reciprocal(power + 1.0f), 1.0f);
    }
}

// How far below a row's largest logit, before scaling, an item skips those of a tile: SKIPS of attention.h.
__device__ inline float skip_distance(const kernel_params & params, const item_place & place) {
    const float n_keys = static_cast<float>(place.rank_begin + place.n_rows);
    return params.skip_factor < n_keys ? log2f(n_keys / params.skip_factor) / params.scale_log2 : INFINITY;
}

// Whether a tile with these maxima matters to the thread's packed rows first_row and first_row + 8. Rows beyond the
// item's last do not count.
__device__ inline bool wants_tile(const item_place & place, const row_pair & rows, const float (&maxima)[2],
                                  int first_row, float distance) {
    const int n_rows = place.packed_rows();
    bool wanted = false;
#pragma unroll
    for (int r = 0; r < 2; ++r) {
        wanted |= (first_row + r * 8 < n_rows) & (maxima[r] != -INFINITY) & !(maxima[r] < rows.maximum[r] - distance);
    }
    return wanted;
}

__device__ inline void count_skips(const kernel_params & params, int visited, int skipped) {
    using count = unsigned long long;  // what atomicAdd() knows of 64 bits
    if (params.skips != nullptr) {
        atomicAdd(reinterpret_cast<count *>(&params.skips->visited), static_cast<count>(visited));
        atomicAdd(reinterpret_cast<count *>(&params.skips->skipped), static_cast<count>(skipped));
    }
}

// Sum of a row over the four threads that share it.
__device__ inline float whole_sum(float sum) {
    sum += __shfl_xor_sync(0xffffffff, sum, 1);
    return sum + __shfl_xor_sync(0xffffffff, sum, 2);
}

// Natural log-sum-exp from a maximum in base 2 and a sum of weights; -inf if nothing was kept.
__device__ inline float natural_lse(float maximum_log2, float sum) {
    constexpr float k_ln_2 = 0.693147180559945f;
    return sum > 0 ? k_ln_2 * (maximum_log2 + log2f(sum) - k_weight_shift) : -INFINITY;
}

// A row's maximum, in base 2, and sum of weights once its head's sink logit has joined; `shrink` is what its other sums
// must be multiplied by. A sink of -inf is none.
struct joined_row {
    float maximum;
    float sum;
    float shrink;
};
__device__ inline joined_row join_sink(float maximum, float sum, float sink_logit) {
    constexpr float k_log2_e = 1.44269504088896f;
    const float sink = sink_logit * k_log2_e;
    if (sink == -INFINITY) {
        return {maximum, sum, 1.0f};
    }
    const float raised = fmaxf(maximum, sink);
    const float shrink = ptx::exp2(maximum - raised);
    return {raised, fmaf(sum, shrink, ptx::exp2(sink - raised + k_weight_shift)), shrink};
}

// One row of a thread's sums, times a factor, from its first column on.
template <int k_blocks>
__device__ inline void write_row(float * target, const float (&sums)[k_blocks * 4], int r, float factor, int32_t n_dims,
                                 bool by_8) {
    if (by_8 && n_dims == k_blocks * 8) {
#pragma unroll
        for (int block = 0; block < k_blocks; ++block) {
            *reinterpret_cast<float2 *>(target + block * 8) =
                make_float2(sums[block * 4 + r * 2] * factor, sums[block * 4 + r * 2 + 1] * factor);
        }
        return;
    }
#pragma unroll
    for (int block = 0; block < k_blocks; ++block) {
        if (block * 8 < n_dims) {
            target[block * 8] = sums[block * 4 + r * 2] * factor;
            target[block * 8 + 1] = sums[block * 4 + r * 2 + 1] * factor;
        }
    }
}

// Rows of an item's result to where they belong: `out`, or its partial results. `sums` is [blocks of 8 dims][4].
template <int k_blocks>
__device__ inline void write_rows(const kernel_params & params, const item_place & place, int first_row,
                                  const float (&sums)[k_blocks * 4], const row_pair & rows) {
    const int column = threadIdx.x % 4 * 2;
#pragma unroll
    for (int r = 0; r < 2; ++r) {
        const int row = first_row + r * 8;
        const float sum = whole_sum(rows.sum[r]);
        if (row >= place.packed_rows()) {
            continue;
        }
        const float maximum = rows.maximum[r] * params.scale_log2;
        if (place.partial >= 0) {
            const int64_t slot = int64_t{place.partial} * k_item_rows + row;
            write_row<k_blocks>(params.partial.sums + slot * params.partial.width + column, sums, r, 1.0f, params.d_v,
                                true);
            if (column == 0) {
                params.partial.scales[slot] = make_float2(maximum, sum);
            }
            continue;
        }
        const packed_row at = unpack(place, row);
        const int64_t out_row = place.row_begin + at.position;
        const int64_t head = place.head_begin + at.head;
        float * target = params.out + place.batch * params.out_stride_batch + out_row * params.out_stride_row +
                         head * params.out_stride_head + column;
        joined_row whole{maximum, sum, 1.0f};
        if (params.sink_logit != nullptr) {
            whole = join_sink(maximum, sum, __ldg(params.sink_logit + head));
        }
        write_row<k_blocks>(target, sums, r, whole.sum > 0 ? whole.shrink / whole.sum : 0.0f, params.d_v,
                            params.out_by_8);
        if (params.lse != nullptr && column == 0) {
            params.lse[(int64_t{place.batch} * params.n_head + head) * params.n_q + out_row] =
                natural_lse(whole.maximum, whole.sum);
        }
    }
}

}  // namespace tmx::cuda
