// Copies keys and values that the attention kernels cannot read in place: block formats, keys in any order, rows that
// do not start at multiples of 16 bytes. A thread writes 8 values, 16 bytes.
#include <cuda_fp16.h>

#include "kernels/cuda/stage.h"

namespace tmx::cuda {
namespace {

constexpr int k_threads = 256;
constexpr int k_values = 8;

__device__ inline float scale_at(const uint16_t * block) {
    return __half2float(__ushort_as_half(block[0]));
}

// The 8 values from element `at` on, as 16-bit floats.
template <dtype type>
__device__ inline uint4 read_values(const void * data, int64_t at) {
    uint16_t values[k_values];
    if constexpr (type == dtype::f16 || type == dtype::bf16) {
        const uint16_t * source = static_cast<const uint16_t *>(data) + at;
#pragma unroll
        for (int i = 0; i < k_values; ++i) {
            values[i] = source[i];
        }
    } else {
        // Blocks of 34 or 18 bytes lie at multiples of 2. Strides may be negative: no division.
        const uint16_t * block = static_cast<const uint16_t *>(data) + (at >> 5) * (block_bytes(type) / 2);
        const float scale = scale_at(block);
        const int first = static_cast<int>(at & 31);
        const int first_byte = type == dtype::q8_0 ? first : first % 16;
#pragma unroll
        for (int i = 0; i < k_values; ++i) {
            const int byte = block[1 + (first_byte + i) / 2] >> (i % 2 * 8) & 0xff;
            int value = 0;
            if constexpr (type == dtype::q8_0) {
                value = static_cast<int8_t>(byte);
            } else {
                value = (first < 16 ? byte & 15 : byte >> 4) - 8;
            }
            values[i] = __half_as_ushort(__float2half_rn(scale * static_cast<float>(value)));
        }
    }
    const auto pair = [&](int i) {
        return static_cast<uint32_t>(values[i]) | static_cast<uint32_t>(values[i + 1]) << 16;
    };
    return make_uint4(pair(0), pair(2), pair(4), pair(6));
}

template <dtype type>
__global__ void __launch_bounds__(k_threads)
    stage_kernel(const stage_source source, const stage_job * jobs, const int32_t * cells, uint4 * to) {
    const stage_job job = jobs[blockIdx.x];
    const int32_t row_units = source.n_head * source.dim / k_values;
    const int64_t n_units = int64_t{job.n_keys} * row_units;
    for (int64_t unit = threadIdx.x; unit < n_units; unit += k_threads) {
        const auto row = static_cast<int32_t>(unit / row_units);
        const int32_t element = static_cast<int32_t>(unit % row_units) * k_values;
        const int32_t rank = job.rank_begin + row;
        const int64_t key = job.cells_begin >= 0 ? cells[job.cells_begin + rank] : job.key_begin + rank;
        const int64_t at = job.batch * source.stride_batch + element / source.dim * source.stride_head +
                           key * source.stride_row + element % source.dim;
        to[(int64_t{job.to} + row) * row_units + element / k_values] = read_values<type>(source.data, at);
    }
}

}  // namespace

cudaError_t stage(const stage_source & source, const stage_job * jobs, int32_t n_jobs, const int32_t * cells, void * to,
                  cudaStream_t stream) {
    uint4 * target = static_cast<uint4 *>(to);
    switch (source.type) {
        case dtype::f16:
            stage_kernel<dtype::f16><<<n_jobs, k_threads, 0, stream>>>(source, jobs, cells, target);
            break;
        case dtype::bf16:
            stage_kernel<dtype::bf16><<<n_jobs, k_threads, 0, stream>>>(source, jobs, cells, target);
            break;
        case dtype::q8_0:
            stage_kernel<dtype::q8_0><<<n_jobs, k_threads, 0, stream>>>(source, jobs, cells, target);
            break;
        case dtype::q4_0:
            stage_kernel<dtype::q4_0><<<n_jobs, k_threads, 0, stream>>>(source, jobs, cells, target);
            break;
        case dtype::f32:
            return cudaErrorInvalidValue;
    }
    return cudaGetLastError();
}

}  // namespace tmx::cuda
