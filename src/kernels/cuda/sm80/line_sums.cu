// Passes over keys by mma.sync.
#include "kernels/cuda/line_kernels.cuh"

namespace tmx::cuda {
namespace {

template <typename T, int k_dim>
struct line_config : line_sizes<T, k_dim,
                                k_dim <= 64    ? 64
                                : k_dim <= 128 ? 32
                                               : 16> {
    using sizes = line_sizes<T, k_dim, k_dim <= 64 ? 64 : k_dim <= 128 ? 32 : 16>;
    static constexpr int k_align = 128;

    __device__ static void publish_copies() {}

    __device__ static void multiply(uint32_t tile, const typename sizes::queries & queries,
                                    typename sizes::products & products) {
        constexpr int k_keys = sizes::k_keys;
        float own[2][k_keys / 8][4] = {};
        // The lane's chunk of the first 16 dims; those of the next ones of a panel differ in two bits of the address.
        const int lane = static_cast<int>(threadIdx.x) % 32;
        const int key = lane / 16 * 8 + lane % 8;
        const uint32_t fragment = tile + (key * 8 + ((lane / 8 % 2 ^ key) & 7)) * 16;
#pragma unroll
        for (int step = 0; step < sizes::k_steps; ++step) {
#pragma unroll
            for (int n = 0; n < k_keys / 8; n += 2) {
                uint32_t keys[4];
                ptx::load_matrices(keys, (fragment ^ step % 4 * 32) + (step / 4 * k_keys + n * 8) * k_line_row_bytes);
#pragma unroll
                for (int band = 0; band < 2; ++band) {
                    ptx::mma<T>(own[band][n], queries[band][step], keys[0], keys[1]);
                    ptx::mma<T>(own[band][n + 1], queries[band][step], keys[2], keys[3]);
                }
            }
        }
#pragma unroll
        for (int band = 0; band < 2; ++band) {
#pragma unroll
            for (int i = 0; i < k_keys / 2; ++i) {
                products[band][i] = own[band][i / 4][i % 4];
            }
        }
    }

    __device__ static void finish(int, typename sizes::products &) {}
};

template <typename T>
cudaError_t run(line_pass pass, const line_params & p, int64_t n_head_kv, cudaStream_t stream) {
    return p.d <= 64    ? run_line_pass<line_config<T, 64>>(pass, p, n_head_kv, stream)
           : p.d <= 128 ? run_line_pass<line_config<T, 128>>(pass, p, n_head_kv, stream)
                        : run_line_pass<line_config<T, 256>>(pass, p, n_head_kv, stream);
}

}  // namespace

cudaError_t run_line_pass_sm80(line_pass pass, const line_params & p, int64_t n_head_kv, bool bf16,
                               cudaStream_t stream) {
    return bf16 ? run<__nv_bfloat16>(pass, p, n_head_kv, stream) : run<__half>(pass, p, n_head_kv, stream);
}

}  // namespace tmx::cuda
