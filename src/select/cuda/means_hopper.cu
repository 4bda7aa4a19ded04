// The scores of "means" on Hopper: persistent blocks, in which two warpgroups multiply by wgmma and two fetch.
#include "select/cuda/means_hopper.h"

#include <type_traits>

#include "kernels/cuda/sm90/tensor_map.h"
#include "select/cuda/means_hopper_fetch.cuh"
#include "select/cuda/means_hopper_multiply.cuh"

namespace tmx::cuda {
namespace {

using namespace hopper;

template <typename C>
__device__ void init_barriers(shared_memory<C> & shared) {
    for (int i = 0; i < k_query_buffers; ++i) {
        ptx::barrier_init(shared.q_full[i], k_loader_warps);
        ptx::barrier_init(shared.q_empty[i], k_consumer_warps);
    }
    for (int i = 0; i < k_key_stages; ++i) {
        ptx::barrier_init(shared.k_full[i], 1);
        ptx::barrier_init(shared.k_empty[i], k_consumer_warps);
    }
    for (int i = 0; i < k_sum_slots; ++i) {
        ptx::barrier_init(shared.sums_full[i], k_consumer_warps);
        ptx::barrier_init(shared.sums_empty[i], 1);
    }
    ptx::barrier_init_fence();
}

template <typename C>
__global__ void __launch_bounds__(k_threads, 1)
    score_kernel(const __grid_constant__ score_params p, const __grid_constant__ CUtensorMap map) {
    extern __shared__ uint8_t raw[];
    shared_memory<C> & shared =
        *reinterpret_cast<shared_memory<C> *>(raw + (1024 - ptx::shared_address(raw) % 1024) % 1024);
    if (threadIdx.x == 0) {
        init_barriers(shared);
        ptx::prefetch_tensor_map(&map);
    }
    __syncthreads();
    const auto warpgroup = static_cast<int>(threadIdx.x) / 128;
    if (warpgroup < k_producers) {
        ptx::give_registers<k_producer_registers>();
        const auto warp = static_cast<int>(threadIdx.x) / 32;
        if (warp == 0) {
            copy_mean_keys<C>(p, map, shared);
        } else if (warp == 1) {
            add_scores<C>(p, shared);
        } else {
            convert_queries<C>(p, shared, warp - 2);
        }
    } else {
        ptx::take_registers<k_consumer_registers>();
        scorer<C>(p, shared, warpgroup - k_producers).run();
    }
}

template <typename C>
cudaError_t launch(const score_params & p, int64_t n_mean_keys, cudaStream_t stream) {
    constexpr int bytes = sizeof(shared_memory<C>) + 1024;
    static_assert(bytes <= 227 * 1024, "a block has at most 227 KiB of shared memory");
    constexpr bool bf16 = std::is_same_v<typename C::element, __nv_bfloat16>;
    CUtensorMap map;
    int device = 0;
    int n_sm = 0;
    cudaError_t error = sm90::make_map({p.means, n_mean_keys, C::k_dim}, k_keys, bf16, map);
    if (error == cudaSuccess) {
        error = cudaGetDevice(&device);
    }
    if (error == cudaSuccess) {
        error = cudaDeviceGetAttribute(&n_sm, cudaDevAttrMultiProcessorCount, device);
    }
    if (error == cudaSuccess) {
        error = cudaFuncSetAttribute(score_kernel<C>, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
    }
    if (error != cudaSuccess) {
        return error;
    }
    const auto n_blocks = static_cast<unsigned>(smaller(n_sm, p.part.n_heads * p.part.n_tiles));
    score_kernel<C><<<n_blocks, k_threads, bytes, stream>>>(p, map);
    return cudaGetLastError();
}

template <typename T>
cudaError_t launch_for_dim(const score_params & p, int64_t n_mean_keys, cudaStream_t stream) {
    return score_dim(p.d) == 64 ? launch<config<T, 64>>(p, n_mean_keys, stream)
                                : launch<config<T, 128>>(p, n_mean_keys, stream);
}

}  // namespace

cudaError_t score_means_on_hopper(const score_params & p, int64_t n_mean_keys, bool bf16, cudaStream_t stream) {
    return bf16 ? launch_for_dim<__nv_bfloat16>(p, n_mean_keys, stream)
                : launch_for_dim<__half>(p, n_mean_keys, stream);
}

}  // namespace tmx::cuda
