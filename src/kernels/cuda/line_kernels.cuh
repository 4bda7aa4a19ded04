// The kernels around line_block, and their launch.
#pragma once

#include <cuda_runtime.h>

#include "kernels/cuda/line_sums.cuh"

namespace tmx::cuda {

template <typename memory>
__device__ inline memory & aligned(uint8_t * raw) {
    constexpr uint32_t k_align = alignof(memory);
    return *reinterpret_cast<memory *>(raw + (k_align - ptx::shared_address(raw) % k_align) % k_align);
}

template <typename C>
__global__ void __launch_bounds__(k_line_threads, C::k_blocks)
    measure_lines(const __grid_constant__ line_params params) {
    extern __shared__ uint8_t raw[];
    line_block<C>(params, aligned<line_memory<C>>(raw)).measure();
}

template <typename C>
__global__ void __launch_bounds__(k_line_threads, C::k_blocks) add_lines(const __grid_constant__ line_params params) {
    extern __shared__ uint8_t raw[];
    auto & shared = aligned<line_sum_memory<C>>(raw);
    line_block<C>(params, shared).add(shared);
}

// As many thread blocks as run at a time, if there are slabs for them: each reads its queries once.
template <typename memory, typename F>
cudaError_t launch_line_pass(F * kernel, int n_blocks, const line_params & p, int64_t n_head_kv, cudaStream_t stream) {
    constexpr int k_bytes = sizeof(memory) + alignof(memory);
    static_assert(k_bytes <= 99 * 1024, "what a block has on sm_86 and sm_89");
    int device = 0;
    int n_sm = 0;
    cudaError_t error = cudaGetDevice(&device);
    if (error == cudaSuccess) {
        error = cudaDeviceGetAttribute(&n_sm, cudaDevAttrMultiProcessorCount, device);
    }
    if (error == cudaSuccess) {
        error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, k_bytes);
    }
    if (error != cudaSuccess) {
        return error;
    }
    const int32_t n_chunks = (p.group + p.heads_of_block() - 1) / p.heads_of_block();
    const int64_t n_parts = larger(smaller(n_sm * n_blocks / (n_chunks * n_head_kv), int64_t{p.n_slabs}), int64_t{1});
    const dim3 grid(static_cast<unsigned>(n_parts * n_chunks), static_cast<unsigned>(n_head_kv));
    kernel<<<grid, k_line_threads, k_bytes, stream>>>(p);
    return cudaGetLastError();
}

template <typename C>
cudaError_t run_line_pass(line_pass pass, const line_params & p, int64_t n_head_kv, cudaStream_t stream) {
    return pass == line_pass::measure
               ? launch_line_pass<line_memory<C>>(measure_lines<C>, C::k_blocks, p, n_head_kv, stream)
               : launch_line_pass<line_sum_memory<C>>(add_lines<C>, C::k_blocks, p, n_head_kv, stream);
}

}  // namespace tmx::cuda
