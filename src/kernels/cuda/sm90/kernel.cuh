// The Hopper kernel: a persistent block of two multiplying warpgroups and two that fetch, one where d = 256.
// docs/kernel_cuda.md.
#pragma once

#include "kernels/cuda/sm90/consumer.cuh"
#include "kernels/cuda/sm90/producer.cuh"
#include "kernels/cuda/sm90/tensor_map.h"

namespace tmx::cuda::sm90 {

template <typename C>
__global__ void __launch_bounds__(C::k_threads, C::k_blocks)
    attention(const __grid_constant__ kernel_params params, const __grid_constant__ tensor_maps maps) {
    extern __shared__ uint8_t raw[];
    shared_memory<C> & shared =
        *reinterpret_cast<shared_memory<C> *>(raw + (1024 - ptx::shared_address(raw) % 1024) % 1024);
    if (threadIdx.x == 0) {
        constexpr int n_warps = k_consumers * 4;
        for (int i = 0; i < C::k_q_buffers; ++i) {
            ptx::barrier_init(shared.q_full[i], C::k_loader_warps);
            ptx::barrier_init(shared.q_empty[i], n_warps);
        }
        for (int i = 0; i < k_key_stages; ++i) {
            ptx::barrier_init(shared.k_full[i], 1);
            ptx::barrier_init(shared.k_empty[i], n_warps);
        }
        for (int i = 0; i < k_value_stages; ++i) {
            ptx::barrier_init(shared.v_full[i], 1);
            ptx::barrier_init(shared.v_empty[i], n_warps);
            if (C::k_options) {
                ptx::barrier_init(shared.v_decided[i], k_consumers);
            }
        }
        for (int i = 0; i < k_item_slots; ++i) {
            ptx::barrier_init(shared.item_full[i], 32);
            ptx::barrier_init(shared.item_empty[i], 32 * (n_warps + C::k_loader_warps) + 1);
        }
        ptx::barrier_init_fence();
        ptx::prefetch_tensor_map(&maps.k.of_slices[C::k_slices - 1]);
        ptx::prefetch_tensor_map(&maps.v.of_slices[C::k_slices - 1]);
    }
    __syncthreads();
    // All above touches nothing but the block's own memory, and overlaps with the end of the kernel before. Its memory,
    // which this kernel reads (the queries may be its output) and writes, comes after every thread's wait. As all do
    // wait, a kernel's end means the end of all kernels before it.
    ptx::let_next_kernel_start();
    const int warpgroup = threadIdx.x / 128;
    if (warpgroup < C::k_producers) {
        ptx::give_registers<C::k_producer_registers>();
        ptx::wait_for_earlier_kernels();
        const int warp = threadIdx.x / 32;
        if (warp == 0) {
            copy_keys_and_values<C>(params, maps, shared);
        } else if (warp == 1) {
            draw_items<C>(params, shared);
        } else {
            convert_queries<C>(params, shared, warp - 2);
        }
    } else {
        ptx::take_registers<C::k_consumer_registers>();
        ptx::wait_for_earlier_kernels();
        consumer<C>(params, shared, warpgroup - C::k_producers).run();
    }
}

// The launcher of one variant.
template <typename C>
cudaError_t launch(const kernel_params & params, const launch_target & target) {
    constexpr int bytes = sizeof(shared_memory<C>) + 1024;
    static_assert(bytes <= 227 * 1024, "a block has at most 227 KiB of shared memory");
    static_assert(C::k_slices <= k_most_tile_slices);
    tensor_maps maps;
    if (const cudaError_t error =
            make_maps(params, C::k_keys, std::is_same_v<typename C::element, __nv_bfloat16>, maps);
        error != cudaSuccess) {
        return error;
    }
    if (const cudaError_t error =
            cudaFuncSetAttribute(attention<C>, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
        error != cudaSuccess) {
        return error;
    }
    // A block starts where one of the kernel before has ended, without waiting for the others: a ubatch after the other
    // pays for one start and one end. What follows without this attribute (combine) still sees everything done.
    cudaLaunchAttribute overlap{};
    overlap.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    overlap.val.programmaticStreamSerializationAllowed = 1;
    cudaLaunchConfig_t grid{};
    grid.gridDim = dim3(static_cast<unsigned>(smaller(target.n_sm, params.n_items)));
    grid.blockDim = dim3(C::k_threads);
    grid.dynamicSmemBytes = bytes;
    grid.stream = target.stream;
    grid.attrs = &overlap;
    grid.numAttrs = 1;
    return cudaLaunchKernelEx(&grid, attention<C>, params, maps);
}

}  // namespace tmx::cuda::sm90
