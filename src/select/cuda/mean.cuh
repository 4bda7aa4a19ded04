// Sums over up to 128 rows, for the means of blocks of keys and of tiles of queries.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "select/cuda/operands.h"

namespace tmx::cuda {

constexpr int k_mean_threads = 256;
constexpr int k_most_dim = 256;

__device__ inline float2 as_floats(__half2 pair) {
    return __half22float2(pair);
}
__device__ inline float2 as_floats(__nv_bfloat162 pair) {
    return __bfloat1622float2(pair);
}
template <typename T>
struct pair_of;
template <>
struct pair_of<__half> {
    using type = __half2;
};
template <>
struct pair_of<__nv_bfloat16> {
    using type = __nv_bfloat162;
};

// Values that one load takes.
template <typename T>
constexpr int k_load_values = 8;
template <>
inline constexpr int k_load_values<float> = 4;

template <typename T>
__device__ inline void load_values(const T * from, bool by_16, float (&values)[k_load_values<T>]) {
    if constexpr (sizeof(T) == 4) {
        if (by_16) {
            const float4 four = __ldg(reinterpret_cast<const float4 *>(from));
            values[0] = four.x;
            values[1] = four.y;
            values[2] = four.z;
            values[3] = four.w;
        } else {
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                values[i] = __ldg(from + i);
            }
        }
    } else {
        const uint4 eight = __ldg(reinterpret_cast<const uint4 *>(from));
        const auto * pairs = reinterpret_cast<const typename pair_of<T>::type *>(&eight);
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            const float2 pair = as_floats(pairs[i]);
            values[i * 2] = pair.x;
            values[i * 2 + 1] = pair.y;
        }
    }
}

// Sums of the n_rows rows from `rows` on, by all k_mean_threads threads of a block: thread c < d gets that of dimension
// c. Each thread adds every so many-th row, then the parts are added in their order. May be called once a kernel.
template <typename T>
__device__ inline float sum_of_rows(const T * rows, int64_t stride_row, bool by_16, int32_t n_rows, int32_t d) {
    constexpr int k_values = k_load_values<T>;
    __shared__ float parts[k_mean_threads * k_values];  // [part][dim]
    const int32_t n_loads = d / k_values;               // of a row
    const int32_t n_parts = k_mean_threads / n_loads;
    const int32_t own = static_cast<int32_t>(threadIdx.x) / n_loads;
    const int32_t dim = static_cast<int32_t>(threadIdx.x) % n_loads * k_values;
    if (own < n_parts) {
        float sums[k_values] = {};
#pragma unroll 8
        for (int32_t row = own; row < n_rows; row += n_parts) {
            float values[k_values];
            load_values(rows + row * stride_row + dim, by_16, values);
#pragma unroll
            for (int i = 0; i < k_values; ++i) {
                sums[i] += values[i];
            }
        }
#pragma unroll
        for (int i = 0; i < k_values; ++i) {
            parts[own * d + dim + i] = sums[i];
        }
    }
    __syncthreads();
    float sum = 0;
    if (static_cast<int32_t>(threadIdx.x) < d) {
        for (int32_t part = 0; part < n_parts; ++part) {
            sum += parts[part * d + static_cast<int32_t>(threadIdx.x)];
        }
    }
    return sum;
}

}  // namespace tmx::cuda
