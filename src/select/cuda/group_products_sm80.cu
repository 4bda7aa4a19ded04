// Products of groups by cp.async and mma.sync. A block makes a tile of 128 x 256, each of its eight warps 64 x 64, from
// steps of 64 of the depth in a ring of buffers.
#include "select/cuda/group_products.h"

#include <algorithm>

#include "select/cuda/group_products.cuh"
#include "select/cuda/tiles.cuh"

namespace tmx::cuda {
namespace {

constexpr int k_threads = 256;
constexpr int k_side = 64;  // of a warp's products
constexpr int k_q_bytes = k_group_rows * k_panel_row_bytes;
constexpr int k_step_bytes = (k_group_rows + k_group_columns) * k_panel_row_bytes;
constexpr int k_most_stages = 4;
using places = product_places<k_group_rows>;

template <typename T>
class group_multiplier {
  public:
    __device__ group_multiplier(const group_params & p, int64_t n_heads, int32_t n_stages, uint32_t shared)
        : p_(p), n_heads_(n_heads), n_stages_(n_stages), shared_(shared) {}

    __device__ void run() {
        const product_place place = places(p_.groups, n_heads_)[blockIdx.x];
        const int64_t head_kv = (p_.head_begin + place.head) / p_.group - p_.head_begin / p_.group;
        const int row = static_cast<int>(threadIdx.x) / 8;
        const int chunk = static_cast<int>(threadIdx.x) % 8;
        const T * q = static_cast<const T *>(p_.q) + (place.head * p_.q_rows + place.row + row) * p_.depth + chunk * 8;
        const T * k = static_cast<const T *>(p_.k) + (head_kv * p_.k_rows + place.column + row) * p_.depth + chunk * 8;
        const auto n_steps = static_cast<int32_t>(p_.depth / k_depth);
        for (int32_t step = 0; step < n_stages_ - 1; ++step) {
            copy_step(q, k, step, n_steps);
        }
        for (int32_t step = 0; step < n_steps; ++step) {
            wait_for_oldest();
            __syncthreads();  // the step is there, and nobody reads the one before
            copy_step(q, k, step + n_stages_ - 1, n_steps);
            multiply(shared_ + step % n_stages_ * k_step_bytes);
        }
        ptx::copy_wait<0>();
        store(place);
    }

  private:
    __device__ void copy_step(const T * q, const T * k, int32_t step, int32_t n_steps) {
        if (step < n_steps) {
            const int row = static_cast<int>(threadIdx.x) / 8;
            const int chunk = static_cast<int>(threadIdx.x) % 8;
            const uint32_t target = shared_ + step % n_stages_ * k_step_bytes + chunk_offset<1>(row, chunk);
            const int64_t from = int64_t{step} * k_depth;
#pragma unroll
            for (int i = 0; i < k_group_rows; i += k_threads / 8) {
                ptx::copy_16(target + i * k_panel_row_bytes, q + i * p_.depth + from, true);
            }
#pragma unroll
            for (int i = 0; i < k_group_columns; i += k_threads / 8) {
                ptx::copy_16(target + k_q_bytes + i * k_panel_row_bytes, k + i * p_.depth + from, true);
            }
        }
        ptx::copy_commit();  // also of nothing: what is waited for is counted
    }
    __device__ void wait_for_oldest() {
        if (n_stages_ == k_most_stages) {
            ptx::copy_wait<k_most_stages - 2>();
        } else if (n_stages_ == 3) {
            ptx::copy_wait<1>();
        } else {
            ptx::copy_wait<0>();
        }
    }

    __device__ static int first_row() {
        return static_cast<int>(threadIdx.x) / 32 / 4 * k_side;
    }
    __device__ static int first_column() {
        return static_cast<int>(threadIdx.x) / 32 % 4 * k_side;
    }

    __device__ void multiply(uint32_t step) {
        const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
        for (int part = 0; part < k_depth / 16; ++part) {
            uint32_t a[4][4];
#pragma unroll
            for (int band = 0; band < 4; ++band) {
                ptx::load_matrices(a[band],
                                   step + chunk_offset<1>(first_row() + band * 16 + lane % 16, part * 2 + lane / 16));
            }
#pragma unroll
            for (int pair = 0; pair < 4; ++pair) {
                uint32_t b[4];
                ptx::load_matrices(b, step + k_q_bytes +
                                          chunk_offset<1>(first_column() + pair * 16 + lane / 16 * 8 + lane % 8,
                                                          part * 2 + lane / 8 % 2));
#pragma unroll
                for (int band = 0; band < 4; ++band) {
                    ptx::mma<T>(products_[band][pair * 2], a[band], b[0], b[1]);
                    ptx::mma<T>(products_[band][pair * 2 + 1], a[band], b[2], b[3]);
                }
            }
        }
    }

    __device__ void store(const product_place & place) {
        const int own_row = first_row() + static_cast<int>(threadIdx.x) % 32 / 4;
#pragma unroll
        for (int band = 0; band < 4; ++band) {
#pragma unroll
            for (int r = 0; r < 2; ++r) {
                float products[16];
#pragma unroll
                for (int j = 0; j < 16; ++j) {
                    products[j] = products_[band][j / 2][r * 2 + j % 2];
                }
                store_stretch(p_, place.head, place.row + own_row + band * 16 + r * 8, place.column + first_column(),
                              products);
            }
        }
    }

    const group_params & p_;
    const int64_t n_heads_;
    const int32_t n_stages_;
    const uint32_t shared_;
    float products_[4][8][4] = {};  // [16 rows][8 columns]
};

template <typename T>
__global__ void __launch_bounds__(k_threads, 1)
    group_kernel(const __grid_constant__ group_params p, int64_t n_heads, int32_t n_stages) {
    extern __shared__ __align__(128) uint8_t raw[];
    group_multiplier<T>(p, n_heads, n_stages, ptx::shared_address(raw)).run();
}

template <typename T>
cudaError_t launch(const group_params & p, int64_t n_heads, cudaStream_t stream) {
    int device = 0;
    int most_bytes = 0;
    cudaError_t error = cudaGetDevice(&device);
    if (error == cudaSuccess) {
        error = cudaDeviceGetAttribute(&most_bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
    }
    const int n_stages = std::min(k_most_stages, most_bytes / k_step_bytes);
    const int bytes = n_stages * k_step_bytes;
    if (error == cudaSuccess) {
        error = cudaFuncSetAttribute(group_kernel<T>, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
    }
    if (error != cudaSuccess) {
        return error;
    }
    const auto grid = static_cast<unsigned>(places(p.groups, n_heads).size());
    group_kernel<T><<<grid, k_threads, bytes, stream>>>(p, n_heads, n_stages);
    return cudaGetLastError();
}

}  // namespace

cudaError_t group_products_sm80(const group_params & p, int64_t n_heads, bool bf16, cudaStream_t stream) {
    return bf16 ? launch<__nv_bfloat16>(p, n_heads, stream) : launch<__half>(p, n_heads, stream);
}

}  // namespace tmx::cuda
