// The portable kernel: cp.async and mma.sync, for everything since Ampere. A block of 8 warps computes one work item,
// 16 packed rows a warp; queries and sums stay in registers, tiles of keys and values are copied two deep.
// docs/kernel_cuda.md.
#pragma once

#include "kernels/cuda/launch.h"
#include "kernels/cuda/ptx.cuh"
#include "kernels/cuda/softmax.cuh"

namespace tmx::cuda::sm80 {

constexpr int k_warps = 8;
constexpr int k_threads = 32 * k_warps;
constexpr int k_stages = 2;
constexpr int k_row_bytes = 128;  // 64 dims: a panel is [key][64 dims], its 16-byte chunks swizzled by the key

template <typename T, int k_dim_, int k_keys_>
struct config {
    using element = T;
    static constexpr int k_dim = k_dim_;
    static constexpr int k_keys = k_keys_;
    static constexpr int k_panels = (k_dim + 63) / 64;
    static constexpr int k_slices = k_keys / k_slice;
    static constexpr int k_tile_bytes = k_panels * k_keys * k_row_bytes;
    static constexpr int k_shared_bytes = 2 * k_stages * k_tile_bytes;
    static_assert(k_shared_bytes <= 99 * 1024, "what a block has on sm_86 and sm_89");
};

template <typename C>
__device__ inline uint32_t chunk_offset(int key, int chunk) {
    return ((chunk / 8 * C::k_keys + key) * 8 + ((chunk ^ key) & 7)) * 16;
}

// Starts copying one tile; keys that the walk does not visit, and dims that do not exist, become zeros.
template <typename C>
__device__ inline void copy_tile(const work_item & item, const int32_t * first_ranks, int32_t tile,
                                 const typename C::element * head, int64_t stride_row, int32_t n_dims,
                                 uint32_t shared) {
    constexpr int k_chunks = C::k_dim / 8;
    for (int i = threadIdx.x; i < C::k_keys * k_chunks; i += k_threads) {
        const int key = i / k_chunks;
        const int chunk = i % k_chunks;
        const int32_t slice = tile * C::k_slices + key / k_slice;
        const int32_t rank = slice_rank(item, first_ranks, slice) + key % k_slice;
        const bool valid = rank < slice_limit(item, slice) && chunk * 8 < n_dims;
        const typename C::element * source = valid ? head + (item.key_base + rank) * stride_row + chunk * 8 : head;
        ptx::copy_16(shared + chunk_offset<C>(key, chunk), source, valid);
    }
}

// Queries of a warp's 16 rows as the A operand of k_dim / 16 MMAs.
template <typename C>
__device__ inline void load_queries(const kernel_params & params, const work_item & item, int first_row,
                                    uint32_t (&q)[C::k_dim / 16][4]) {
#pragma unroll
    for (int r = 0; r < 2; ++r) {
        const int row = first_row + r * 8;
        const packed_row at = unpack(item, smaller(row, item.packed_rows() - 1));
        const float * source = params.q + item.batch * params.q_stride_batch +
                               (item.head_begin + at.head) * params.q_stride_head +
                               (item.row_begin + at.position) * params.q_stride_row;
#pragma unroll
        for (int step = 0; step < C::k_dim / 16; ++step) {
#pragma unroll
            for (int half = 0; half < 2; ++half) {
                const int dim = step * 16 + half * 8 + threadIdx.x % 4 * 2;
                float2 pair = make_float2(0, 0);
                if (dim < params.d_qk) {
                    pair = params.q_by_16 ? __ldg(reinterpret_cast<const float2 *>(source + dim))
                                          : make_float2(source[dim], source[dim + 1]);
                }
                q[step][half * 2 + r] = ptx::pack<typename C::element>(pair.x * params.q_sign, pair.y * params.q_sign);
            }
        }
    }
}

template <typename C>
__device__ inline void multiply_keys(const uint32_t (&q)[C::k_dim / 16][4], uint32_t k,
                                     float (&logits)[C::k_keys / 2]) {
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int i = 0; i < C::k_keys / 2; ++i) {
        logits[i] = 0;
    }
#pragma unroll
    for (int step = 0; step < C::k_dim / 16; ++step) {
#pragma unroll
        for (int pair = 0; pair < C::k_keys / 16; ++pair) {
            uint32_t b[4];
            ptx::load_matrices(b, k + chunk_offset<C>(pair * 16 + lane / 16 * 8 + lane % 8, step * 2 + lane / 8 % 2));
            float(&low)[4] = *reinterpret_cast<float(*)[4]>(logits + pair * 8);
            float(&high)[4] = *reinterpret_cast<float(*)[4]>(logits + pair * 8 + 4);
            ptx::mma<typename C::element>(low, q[step], b[0], b[1]);
            ptx::mma<typename C::element>(high, q[step], b[2], b[3]);
        }
    }
}

template <typename C>
__device__ inline void multiply_values(const float (&weights)[C::k_keys / 2], uint32_t v, float (&sums)[C::k_dim / 2]) {
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int step = 0; step < C::k_keys / 16; ++step) {
        uint32_t a[4];
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            a[i] = ptx::pack<typename C::element>(weights[step * 8 + i * 2], weights[step * 8 + i * 2 + 1]);
        }
#pragma unroll
        for (int pair = 0; pair < C::k_dim / 16; ++pair) {
            uint32_t b[4];
            ptx::load_matrices_transposed(
                b, v + chunk_offset<C>(step * 16 + lane / 8 % 2 * 8 + lane % 8, pair * 2 + lane / 16));
            float(&low)[4] = *reinterpret_cast<float(*)[4]>(sums + pair * 8);
            float(&high)[4] = *reinterpret_cast<float(*)[4]>(sums + pair * 8 + 4);
            ptx::mma<typename C::element>(low, a, b[0], b[1]);
            ptx::mma<typename C::element>(high, a, b[2], b[3]);
        }
    }
}

template <typename C>
__global__ void __launch_bounds__(k_threads, 1) attention(const __grid_constant__ kernel_params params) {
    using T = typename C::element;
    extern __shared__ __align__(128) uint8_t raw[];
    const uint32_t shared = ptx::shared_address(raw);
    const work_item & item = params.items[blockIdx.x];
    const T * keys =
        static_cast<const T *>(params.k) + item.kv_batch * params.k_stride_batch + item.head_kv * params.k_stride_head;
    const T * values =
        static_cast<const T *>(params.v) + item.kv_batch * params.v_stride_batch + item.head_kv * params.v_stride_head;
    const auto copy = [&](int32_t tile) {
        if (tile < item.tile_end) {
            const uint32_t stage = shared + (tile - item.tile_begin) % k_stages * 2 * C::k_tile_bytes;
            copy_tile<C>(item, params.first_ranks, tile, keys, params.k_stride_row, params.d_qk, stage);
            copy_tile<C>(item, params.first_ranks, tile, values, params.v_stride_row, params.d_v,
                         stage + C::k_tile_bytes);
        }
        ptx::copy_commit();
    };
    copy(item.tile_begin);

    const int first_row = threadIdx.x / 32 * 16 + threadIdx.x % 32 / 4;
    row_pair rows;
    rows.start();
#pragma unroll
    for (int r = 0; r < 2; ++r) {
        const int row = smaller(first_row + r * 8, item.packed_rows() - 1);
        rows.kept[r] = row_of(item.kept(), item.rank_begin + unpack(item, row).position);
    }
    uint32_t q[C::k_dim / 16][4];
    load_queries<C>(params, item, first_row, q);
    float sums[C::k_dim / 2];
#pragma unroll
    for (int i = 0; i < C::k_dim / 2; ++i) {
        sums[i] = 0;
    }

    for (int32_t tile = item.tile_begin; tile < item.tile_end; ++tile) {
        copy(tile + 1);
        ptx::copy_wait<1>();
        __syncthreads();
        const uint32_t stage = shared + (tile - item.tile_begin) % k_stages * 2 * C::k_tile_bytes;
        float logits[C::k_keys / 2];
        float rescale[2];
        multiply_keys<C>(q, stage, logits);
        if (tile < item.full_begin || tile >= item.full_end) {
            mask_logits<C::k_keys / 8>(logits, rows, [&](int slice) {
                return slice_rank(item, params.first_ranks, tile * C::k_slices + slice);
            });
        }
        weigh<C::k_keys / 8>(logits, rows, params.scale_log2, rescale);
#pragma unroll
        for (int i = 0; i < C::k_dim / 2; ++i) {
            sums[i] *= rescale[i / 2 % 2];
        }
        multiply_values<C>(logits, stage + C::k_tile_bytes, sums);
        __syncthreads();
    }
    write_rows<C::k_dim / 8>(params, item, first_row, sums, rows);
}

// The launcher of one variant.
template <typename C>
cudaError_t launch(const kernel_params & params, const launch_target & target) {
    if (const cudaError_t error =
            cudaFuncSetAttribute(attention<C>, cudaFuncAttributeMaxDynamicSharedMemorySize, C::k_shared_bytes);
        error != cudaSuccess) {
        return error;
    }
    attention<C><<<params.n_items, k_threads, C::k_shared_bytes, target.stream>>>(params);
    return cudaGetLastError();
}

}  // namespace tmx::cuda::sm80
