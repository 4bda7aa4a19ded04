// From a row's sums to its result: sink logits, the division, log-sum-exp.
#pragma once

#include "kernels/cuda/launch.h"
#include "kernels/cuda/ptx.cuh"
#include "kernels/cuda/softmax.cuh"

namespace tmx::cuda {

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
