// Passes over keys by wgmma: queries are its left operand, from registers, so that a warp has the rows that it has with
// mma.sync, and the tile of keys is read from shared memory once for all four warps of the block.
#include "kernels/cuda/line_kernels.cuh"
#include "kernels/cuda/sm90/wgmma.cuh"

namespace tmx::cuda {
namespace {

template <typename T, int k_dim, int k_keys>
struct line_config : line_sizes<T, k_dim, k_keys> {
    using sizes = line_sizes<T, k_dim, k_keys>;
    static constexpr int k_align = 1024;  // of what the swizzle spans

    __device__ static void publish_copies() { ptx::fence_async_proxy(); }

    __device__ static void multiply(uint32_t tile, const typename sizes::queries & queries,
                                    typename sizes::products & products) {
        const uint64_t keys = ptx::matrix_descriptor(tile, 16);
        ptx::wgmma_fence();
#pragma unroll
        for (int band = 0; band < 2; ++band) {
#pragma unroll
            for (int step = 0; step < sizes::k_steps; ++step) {
                const uint32_t bytes = step / 4 * k_keys * k_line_row_bytes + step % 4 * 32;
                ptx::wgmma<T, k_keys>::rs_rows(products[band], queries[band][step], ptx::advance(keys, bytes),
                                               step != 0);
            }
            ptx::wgmma_commit();
        }
    }

    // While the first band is worked at, the second one's products are made.
    __device__ static void finish(int band, typename sizes::products & products) {
        if (band == 0) {
            ptx::wgmma_wait<1>();
        } else {
            ptx::hold(products[0]);
            ptx::wgmma_wait<0>();
        }
        ptx::hold(products[band]);
    }
};

template <typename T>
cudaError_t run(line_pass pass, const line_params & p, int64_t n_head_kv, cudaStream_t stream) {
    return p.d <= 64 ? run_line_pass<line_config<T, 64, 64>>(pass, p, n_head_kv, stream)
                     : run_line_pass<line_config<T, 128, 64>>(pass, p, n_head_kv, stream);
}

}  // namespace

cudaError_t run_line_pass_sm90(line_pass pass, const line_params & p, int64_t n_head_kv, bool bf16,
                               cudaStream_t stream) {
    return bf16 ? run<__nv_bfloat16>(pass, p, n_head_kv, stream) : run<__half>(pass, p, n_head_kv, stream);
}

}  // namespace tmx::cuda
