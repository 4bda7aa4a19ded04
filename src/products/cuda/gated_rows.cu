#include <cuda_fp16.h>

#include "products/cuda/gated_rows.h"

namespace tmx::cuda {
namespace {

constexpr int k_threads = 256;

union eight_values {
    uint4 bits;
    __half2 pairs[4];
};

__global__ void __launch_bounds__(k_threads)
    round_kernel(const float * x, int64_t stride, int64_t units_of_row, int64_t n_units, uint4 * to) {
    const int64_t unit = int64_t{blockIdx.x} * k_threads + threadIdx.x;
    if (unit >= n_units) {
        return;
    }
    const auto * from =
        reinterpret_cast<const float4 *>(x + unit / units_of_row * stride + unit % units_of_row * k_values_of_thread);
    const float4 low = from[0];
    const float4 high = from[1];
    eight_values rounded;
    rounded.pairs[0] = __floats2half2_rn(low.x, low.y);
    rounded.pairs[1] = __floats2half2_rn(low.z, low.w);
    rounded.pairs[2] = __floats2half2_rn(high.x, high.y);
    rounded.pairs[3] = __floats2half2_rn(high.z, high.w);
    to[unit] = rounded.bits;
}

// added and to may be the same memory: a thread reads what it writes, and nobody else does.
__global__ void __launch_bounds__(k_threads)
    widen_kernel(const uint4 * from, int64_t units_of_row, int64_t n_units, const float * added, int64_t added_stride,
                 float * to, int64_t to_stride) {
    const int64_t unit = int64_t{blockIdx.x} * k_threads + threadIdx.x;
    if (unit >= n_units) {
        return;
    }
    const int64_t row = unit / units_of_row;
    const int64_t value = unit % units_of_row * k_values_of_thread;
    eight_values values;
    values.bits = from[unit];
    auto * at = reinterpret_cast<float4 *>(to + row * to_stride + value);
#pragma unroll
    for (int i = 0; i < 2; ++i) {
        const float2 low = __half22float2(values.pairs[2 * i]);
        const float2 high = __half22float2(values.pairs[2 * i + 1]);
        float4 sum = make_float4(low.x, low.y, high.x, high.y);
        if (added != nullptr) {
            const float4 more = reinterpret_cast<const float4 *>(added + row * added_stride + value)[i];
            sum = make_float4(sum.x + more.x, sum.y + more.y, sum.z + more.z, sum.w + more.w);
        }
        at[i] = sum;
    }
}

__device__ inline float gated(float gate, float up) {
    return gate / (1.0f + __expf(-gate)) * up;
}

// gate, up and to may be the same memory: a thread reads what it writes, and nobody else does.
__global__ void __launch_bounds__(k_threads)
    gate_kernel(const uint4 * gate, const uint4 * up, int64_t n_units, uint4 * to) {
    const int64_t unit = int64_t{blockIdx.x} * k_threads + threadIdx.x;
    if (unit >= n_units) {
        return;
    }
    eight_values gates;
    eight_values ups;
    gates.bits = gate[unit];
    ups.bits = up[unit];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        const float2 a = __half22float2(gates.pairs[i]);
        const float2 b = __half22float2(ups.pairs[i]);
        gates.pairs[i] = __floats2half2_rn(gated(a.x, b.x), gated(a.y, b.y));
    }
    to[unit] = gates.bits;
}

unsigned blocks_of(int64_t n_units) {
    return static_cast<unsigned>((n_units + k_threads - 1) / k_threads);
}

}  // namespace

cudaError_t round_rows(const float * x, int64_t stride, int64_t n_rows, int64_t n_in, void * to, cudaStream_t stream) {
    const int64_t units_of_row = n_in / k_values_of_thread;
    const int64_t n_units = n_rows * units_of_row;
    round_kernel<<<blocks_of(n_units), k_threads, 0, stream>>>(x, stride, units_of_row, n_units,
                                                               static_cast<uint4 *>(to));
    return cudaGetLastError();
}

cudaError_t widen_rows(const void * values, int64_t n_rows, int64_t n, const float * added, int64_t added_stride,
                       float * to, int64_t to_stride, cudaStream_t stream) {
    const int64_t units_of_row = n / k_values_of_thread;
    const int64_t n_units = n_rows * units_of_row;
    widen_kernel<<<blocks_of(n_units), k_threads, 0, stream>>>(static_cast<const uint4 *>(values), units_of_row,
                                                               n_units, added, added_stride, to, to_stride);
    return cudaGetLastError();
}

cudaError_t gate_values(const void * gate, const void * up, int64_t n, void * to, cudaStream_t stream) {
    const int64_t n_units = n / k_values_of_thread;
    gate_kernel<<<blocks_of(n_units), k_threads, 0, stream>>>(
        static_cast<const uint4 *>(gate), static_cast<const uint4 *>(up), n_units, static_cast<uint4 *>(to));
    return cudaGetLastError();
}

}  // namespace tmx::cuda
