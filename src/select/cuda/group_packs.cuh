// Groups of queries and of keys, packed into rows of stride x d 16-bit elements.
#pragma once

#include "kernels/cuda/ptx.cuh"
#include "trianglemix/geometry.h"

namespace tmx::cuda {

struct pack_params {
    const void * from;  // [head][rank - first_rank][d]
    int64_t stride_head, stride_row;
    int64_t first_rank;
    index_range ranks;  // of which there are elements; the others become zeros
    index_range groups;
    int64_t head_begin, n_heads;
    void * to;  // [head - head_begin][n_rows][stride][d]
    int64_t n_rows;
    int32_t stride;
    int32_t d;
    float sign;
    bool by_16;
};

__device__ inline void load_eight(const float * from, bool by_16, float (&values)[8]) {
    if (by_16) {
        *reinterpret_cast<float4 *>(values) = __ldg(reinterpret_cast<const float4 *>(from));
        *reinterpret_cast<float4 *>(values + 4) = __ldg(reinterpret_cast<const float4 *>(from + 4));
        return;
    }
#pragma unroll
    for (int i = 0; i < 8; ++i) {
        values[i] = __ldg(from + i);
    }
}

// One of the groups and heads, by n_threads threads, each of 8 elements k_in_flight times before it waits for any.
// Queries lie from the group's last position to its first.
template <typename T, int k_in_flight>
__device__ inline void pack_queries(const pack_params & p, int64_t group, int64_t head, int32_t thread,
                                    int32_t n_threads) {
    const int32_t n_chunks = p.d / 8;
    const int32_t n = p.stride * n_chunks;
    const float * from = static_cast<const float *>(p.from) + (p.head_begin + head) * p.stride_head;
    auto * to = static_cast<uint4 *>(p.to) + (head * p.n_rows + group) * n;
    const int64_t last = (p.groups.begin + group + 1) * p.stride - 1;
    for (int32_t first = thread; first < n; first += n_threads * k_in_flight) {
        float values[k_in_flight][8] = {};
#pragma unroll
        for (int piece = 0; piece < k_in_flight; ++piece) {
            const int32_t i = first + piece * n_threads;
            const int64_t rank = last - i / n_chunks;
            if (i < n && rank >= p.ranks.begin && rank < p.ranks.end) {
                const float * source = from + (rank - p.first_rank) * p.stride_row + i % n_chunks * 8;
                load_eight(source, p.by_16, values[piece]);
            }
        }
#pragma unroll
        for (int piece = 0; piece < k_in_flight; ++piece) {
            uint32_t pairs[4];
#pragma unroll
            for (int j = 0; j < 4; ++j) {
                pairs[j] = ptx::pack<T>(values[piece][j * 2] * p.sign, values[piece][j * 2 + 1] * p.sign);
            }
            if (const int32_t i = first + piece * n_threads; i < n) {
                to[i] = make_uint4(pairs[0], pairs[1], pairs[2], pairs[3]);
            }
        }
    }
}

__device__ inline void pack_keys(const pack_params & p, int64_t group, int64_t head, int32_t thread,
                                 int32_t n_threads) {
    const int32_t n_chunks = p.d / 8;
    const uint16_t * from = static_cast<const uint16_t *>(p.from) + (p.head_begin + head) * p.stride_head;
    auto * to = static_cast<uint4 *>(p.to) + (head * p.n_rows + group) * p.stride * n_chunks;
    const int64_t first = (p.groups.begin + group) * p.stride;
    for (int32_t i = thread; i < p.stride * n_chunks; i += n_threads) {
        const int64_t rank = first + i / n_chunks;
        to[i] = make_uint4(0, 0, 0, 0);
        if (rank < p.ranks.end) {
            const uint16_t * source = from + (rank - p.first_rank) * p.stride_row + i % n_chunks * 8;
            to[i] = __ldg(reinterpret_cast<const uint4 *>(source));
        }
    }
}

}  // namespace tmx::cuda
