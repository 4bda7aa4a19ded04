// The portable kernel: cp.async and mma.sync, for everything since Ampere. A block computes one work item; its queries
// lie in shared memory, beside one tile of keys and one of values: the next keys are copied while weights are
// multiplied with values, the next values while logits are made. docs/kernel_cuda.md.
#pragma once

#include "kernels/cuda/launch.h"
#include "kernels/cuda/options.cuh"
#include "kernels/cuda/ptx.cuh"
#include "kernels/cuda/results.cuh"
#include "kernels/cuda/softmax.cuh"

namespace tmx::cuda::sm80 {

constexpr int k_values_there = 1;  // a named barrier of the block; 0 is __syncthreads()
constexpr int k_row_bytes = 128;   // 64 dims: a panel is [row][64 dims], its 16-byte chunks swizzled by the row

template <typename T, int k_dim_, int k_keys_, bool k_options_>
struct config {
    using element = T;
    static constexpr bool k_options = k_options_;
    static constexpr int k_dim = k_dim_;
    static constexpr int k_keys = k_keys_;
    // Warps of 32 rows load each key from shared memory half as often as warps of 16, but need twice the registers.
    static constexpr int k_warps = k_dim <= 128 ? 4 : 8;
    static constexpr int k_bands = k_item_rows / 16 / k_warps;  // of 16 rows a warp
    static constexpr int k_threads = 32 * k_warps;
    static constexpr int k_blocks = k_dim <= 128 ? 2 : 1;  // on a multiprocessor at a time
    static constexpr int k_panels = (k_dim + 63) / 64;
    static constexpr int k_slices = k_keys / k_slice;
    static constexpr int k_tile_bytes = k_panels * k_keys * k_row_bytes;
    static constexpr int k_q_bytes = k_panels * k_item_rows * k_row_bytes;
    static constexpr int k_shared_bytes = k_q_bytes + 2 * k_tile_bytes;
    static_assert(k_shared_bytes <= 99 * 1024, "what a block has on sm_86 and sm_89");
};

// Where the 8 dims of a chunk lie in panels of `n_rows` rows.
template <int n_rows>
__device__ inline uint32_t chunk_offset(int row, int chunk) {
    return ((chunk / 8 * n_rows + row) * 8 + ((chunk ^ row) & 7)) * 16;
}

template <typename C>
class block_attention {
    using T = typename C::element;

  public:
    __device__ block_attention(const kernel_params & params, const work_item & item, uint8_t * shared)
        : params_(params), item_(item), q_(ptx::shared_address(shared)) {}

    __device__ void run(uint8_t * shared) {
        if (item_.walk.tile_begin < item_.walk.tile_end) {
            copy_keys(visited_tile(item_.walk.tile_begin));
        }
        convert_queries(shared);
#pragma unroll
        for (int band = 0; band < C::k_bands; ++band) {
            rows_[band].start();
#pragma unroll
            for (int i = 0; i < C::k_dim / 2; ++i) {
                sums_[band][i] = 0;
            }
        }
        if constexpr (C::k_options) {
            visit_wanted();
        } else {
            visit_all();
        }
#pragma unroll
        for (int band = 0; band < C::k_bands; ++band) {
            write_rows<C::k_dim / 8>(params_, item_.place, first_row(band), sums_[band], rows_[band]);
        }
    }

  private:
    __device__ void visit_all() {
        const int32_t tile_end = item_.walk.tile_end;
        const int32_t full_begin = item_.walk.full_begin;
        const int32_t full_end = item_.walk.full_end;
        for (int32_t tile = item_.walk.tile_begin; tile < tile_end; ++tile) {
            ptx::copy_wait<0>();
            __syncthreads();  // the keys are there, and nobody reads the values of the tile before
            copy_values(tile);
            float logits[C::k_bands][C::k_keys / 2];
            multiply_keys(logits);
            ptx::copy_wait<0>();
            __syncthreads();  // the values are there, and nobody reads the keys
#pragma unroll
            for (int band = 0; band < C::k_bands; ++band) {
                finish_logits(logits[band], band, tile, tile < full_begin || tile >= full_end);
                weigh_band(logits[band], band);
            }
            if (tile + 1 < tile_end) {
                copy_keys(tile + 1);
            }
            multiply_values(logits);
        }
    }

    // The same with options. A warp that skips a tile does nothing but its logits; if all skip it, its values are not
    // even copied, so they are asked for late.
    __device__ void visit_wanted() {
        const bool skips = params_.skip_factor > 0;
        const float distance = skip_distance(params_, item_.place);
        const int32_t tile_end = item_.walk.tile_end;
        int n_skipped = 0;
        for (int32_t turn = item_.walk.tile_begin; turn < tile_end; ++turn) {
            ptx::copy_wait<0>();
            __syncthreads();  // the keys are there, and nobody reads the values of the tile before
            if (!skips) {
                copy_values(visited_tile(turn));
            }
            float logits[C::k_bands][C::k_keys / 2];
            multiply_keys(logits);
            bool wanted = !skips;
            float maxima[C::k_bands][2];
#pragma unroll
            for (int band = 0; band < C::k_bands; ++band) {
                const int32_t tile = visited_tile(turn);
                finish_logits(logits[band], band, tile, tile < item_.walk.full_begin || tile >= item_.walk.full_end);
#pragma unroll
                for (int r = 0; r < 2; ++r) {
                    maxima[band][r] = tile_maximum<C::k_keys / 8>(logits[band], r, -INFINITY);
                }
                wanted |= wants_tile(item_.place, rows_[band], maxima[band], first_row(band), distance);
            }
            wanted = __any_sync(0xffffffff, wanted);
            n_skipped += wanted ? 0 : 1;
            const bool any_wanted = __syncthreads_or(wanted);  // nobody reads the keys
            if (skips && any_wanted) {
                copy_values(visited_tile(turn));
            }
            if (turn + 1 < tile_end) {
                copy_keys(visited_tile(turn + 1));
            } else {
                ptx::copy_commit();
            }
            // Two ways to the same barrier: in one, after which the warps' ways part again, registers do not suffice.
            if (wanted) {
#pragma unroll
                for (int band = 0; band < C::k_bands; ++band) {
                    weigh_band(logits[band], band, maxima[band]);
                }
                wait_values();
                multiply_values(logits);
            } else if (any_wanted) {
                wait_values();
            }
        }
        if (skips && threadIdx.x % 32 == 0 && first_row(0) < item_.place.packed_rows()) {
            count_skips(params_, tile_end - item_.walk.tile_begin, n_skipped);
        }
    }

    // The values are there, if not the keys that were asked for after them.
    __device__ void wait_values() {
        ptx::copy_wait<1>();
        ptx::named_sync(k_values_there, C::k_threads);
    }

    // Which tile is the `turn`-th that the item visits, counted from walk.tile_begin on.
    __device__ int32_t visited_tile(int32_t turn) const {
        const bool skips = C::k_options && params_.skip_factor > 0;
        return skips ? tile_in_turn(item_.walk.tile_begin, item_.walk.tile_end, turn) : turn;
    }

    __device__ void finish_logits(float (&logits)[C::k_keys / 2], int band, int32_t tile, bool partial) {
        if (C::k_options && params_.capped) {
            cap_logits<C::k_keys / 8>(logits, params_.cap_scale);
        }
        if (partial) {
            mask_logits<C::k_keys / 8>(logits, first_row(band), item_.place, item_.walk, params_.first_ranks,
                                       tile * C::k_slices);
        }
    }

    __device__ void weigh_band(float (&logits)[C::k_keys / 2], int band, const float * maxima = nullptr) {
        float rescale[2];
        weigh<C::k_keys / 8>(logits, rows_[band], params_.scale_log2, rescale, maxima);
        // Once a row's largest logit is found, its sums stay as they are.
        if (__any_sync(0xffffffff, rescale[0] != 1.0f || rescale[1] != 1.0f)) {
#pragma unroll
            for (int i = 0; i < C::k_dim / 2; ++i) {
                sums_[band][i] *= rescale[i / 2 % 2];
            }
        }
    }

    __device__ int first_row(int band) const {
        return (threadIdx.x / 32 * C::k_bands + band) * 16 + threadIdx.x % 32 / 4;
    }

    // Starts copying one tile; keys that the walk does not visit, and dims that do not exist, become zeros. A thread
    // always copies the same chunk of dims, of every k_step-th key.
    __device__ void copy_tile(int32_t tile, const T * head, int64_t stride_row, int32_t n_dims, uint32_t shared) {
        constexpr int k_chunks = C::k_panels * 8;
        constexpr int k_step = C::k_threads / k_chunks;
        const int chunk = threadIdx.x % k_chunks;
        const int first_key = threadIdx.x / k_chunks;
        const bool exists = chunk * 8 < n_dims;
        const int32_t first = tile * C::k_slices;
        if (chunk * 8 < C::k_dim) {
            const uint32_t target = shared + (chunk / 8 * C::k_keys + first_key) * k_row_bytes;
            const T * source = head + chunk * 8;
            if (item_.walk.list_begin < 0 && first >= item_.walk.sink_slices()) {
                const int32_t rank = slice_rank(item_.walk, nullptr, first) + first_key;
                const int32_t n_keys = item_.walk.key_end - rank;  // from the thread's first on
                source += (item_.place.key_base + rank) * stride_row;
#pragma unroll
                for (int i = 0; i < C::k_keys / k_step; ++i) {
                    const bool valid = exists && i * k_step < n_keys;
                    ptx::copy_16(target + i * k_step * k_row_bytes + swizzled(chunk, first_key + i * k_step),
                                 valid ? source : head, valid);
                    source += k_step * stride_row;
                }
            } else {
#pragma unroll 1
                for (int key = first_key; key < C::k_keys; key += k_step) {
                    const int32_t slice = first + key / k_slice;
                    const int32_t rank = slice_rank(item_.walk, params_.first_ranks, slice) + key % k_slice;
                    const bool valid = exists && rank < slice_limit(item_.walk, slice);
                    ptx::copy_16(shared + chunk_offset<C::k_keys>(key, chunk),
                                 valid ? source + (item_.place.key_base + rank) * stride_row : head, valid);
                }
            }
        }
        ptx::copy_commit();
    }
    __device__ static uint32_t swizzled(int chunk, int row) {
        return ((chunk ^ row) & 7) * 16;
    }

    __device__ void copy_keys(int32_t tile) {
        const T * keys = static_cast<const T *>(params_.k) + item_.place.kv_batch * params_.k_stride_batch +
                         item_.place.head_kv * params_.k_stride_head;
        copy_tile(tile, keys, params_.k_stride_row, params_.d_qk, k_tile());
    }
    __device__ void copy_values(int32_t tile) {
        const T * values = static_cast<const T *>(params_.v) + item_.place.kv_batch * params_.v_stride_batch +
                           item_.place.head_kv * params_.v_stride_head;
        copy_tile(tile, values, params_.v_stride_row, params_.d_v, v_tile());
    }
    __device__ uint32_t k_tile() const {
        return q_ + C::k_q_bytes;
    }
    __device__ uint32_t v_tile() const {
        return k_tile() + C::k_tile_bytes;
    }

    // Queries from f32 to the type of the products, into panels. A thread takes every k_step-th row's same chunk.
    __device__ void convert_queries(uint8_t * shared) {
        constexpr int k_chunks = C::k_panels * 8;
        constexpr int k_step = C::k_threads / k_chunks;
        const int chunk = threadIdx.x % k_chunks;
        const bool exists = chunk * 8 < params_.d_qk;
        const float * base = params_.q + item_.place.batch * params_.q_stride_batch +
                             item_.place.head_begin * params_.q_stride_head +
                             item_.place.row_begin * params_.q_stride_row + chunk * 8;
        const int32_t n_heads = item_.place.n_heads;
        const int32_t n_packed = item_.place.packed_rows();
        packed_row at = unpack(item_.place, threadIdx.x / k_chunks);
#pragma unroll 4
        for (int row = threadIdx.x / k_chunks; row < k_item_rows; row += k_step) {
            float values[8] = {};
            if (row < n_packed && exists) {
                const float * source = base + at.position * params_.q_stride_row + at.head * params_.q_stride_head;
                if (params_.q_by_16) {
                    *reinterpret_cast<float4 *>(values) = __ldg(reinterpret_cast<const float4 *>(source));
                    *reinterpret_cast<float4 *>(values + 4) = __ldg(reinterpret_cast<const float4 *>(source + 4));
                } else {
#pragma unroll
                    for (int j = 0; j < 8; ++j) {
                        values[j] = source[j];
                    }
                }
            }
            uint32_t pairs[4];
#pragma unroll
            for (int j = 0; j < 4; ++j) {
                pairs[j] = ptx::pack<T>(values[j * 2] * params_.q_sign, values[j * 2 + 1] * params_.q_sign);
            }
            *reinterpret_cast<uint4 *>(shared + chunk_offset<k_item_rows>(row, chunk)) =
                make_uint4(pairs[0], pairs[1], pairs[2], pairs[3]);
            at.head += k_step;
            while (at.head >= n_heads) {
                at.head -= n_heads;
                ++at.position;
            }
        }
    }

    __device__ void multiply_keys(float (&logits)[C::k_bands][C::k_keys / 2]) {
        const int lane = threadIdx.x % 32;
#pragma unroll
        for (int band = 0; band < C::k_bands; ++band) {
#pragma unroll
            for (int i = 0; i < C::k_keys / 2; ++i) {
                logits[band][i] = 0;
            }
        }
#pragma unroll
        for (int step = 0; step < C::k_dim / 16; ++step) {
            uint32_t a[C::k_bands][4];
#pragma unroll
            for (int band = 0; band < C::k_bands; ++band) {
                const int row = (threadIdx.x / 32 * C::k_bands + band) * 16 + lane % 16;
                ptx::load_matrices(a[band], q_ + chunk_offset<k_item_rows>(row, step * 2 + lane / 16));
            }
#pragma unroll
            for (int pair = 0; pair < C::k_keys / 16; ++pair) {
                uint32_t b[4];
                ptx::load_matrices(b, k_tile() + chunk_offset<C::k_keys>(pair * 16 + lane / 16 * 8 + lane % 8,
                                                                         step * 2 + lane / 8 % 2));
#pragma unroll
                for (int band = 0; band < C::k_bands; ++band) {
                    multiply_pair(logits[band] + pair * 8, a[band], b);
                }
            }
        }
    }

    __device__ void multiply_values(const float (&weights)[C::k_bands][C::k_keys / 2]) {
        const int lane = threadIdx.x % 32;
#pragma unroll
        for (int step = 0; step < C::k_keys / 16; ++step) {
            uint32_t a[C::k_bands][4];
#pragma unroll
            for (int band = 0; band < C::k_bands; ++band) {
#pragma unroll
                for (int i = 0; i < 4; ++i) {
                    a[band][i] = ptx::pack<T>(weights[band][step * 8 + i * 2], weights[band][step * 8 + i * 2 + 1]);
                }
            }
#pragma unroll
            for (int pair = 0; pair < C::k_dim / 16; ++pair) {
                uint32_t b[4];
                ptx::load_matrices_transposed(
                    b,
                    v_tile() + chunk_offset<C::k_keys>(step * 16 + lane / 8 % 2 * 8 + lane % 8, pair * 2 + lane / 16));
#pragma unroll
                for (int band = 0; band < C::k_bands; ++band) {
                    multiply_pair(sums_[band] + pair * 8, a[band], b);
                }
            }
        }
    }

    // Two neighbouring 16 x 8 blocks.
    __device__ static void multiply_pair(float * c, const uint32_t (&a)[4], const uint32_t (&b)[4]) {
        ptx::mma<T>(*reinterpret_cast<float(*)[4]>(c), a, b[0], b[1]);
        ptx::mma<T>(*reinterpret_cast<float(*)[4]>(c + 4), a, b[2], b[3]);
    }

    const kernel_params & params_;
    const work_item & item_;
    const uint32_t q_;  // the tile of keys follows, then that of values
    row_pair rows_[C::k_bands];
    float sums_[C::k_bands][C::k_dim / 2];
};

template <typename C>
__global__ void __launch_bounds__(C::k_threads, C::k_blocks) attention(const __grid_constant__ kernel_params params) {
    extern __shared__ __align__(128) uint8_t raw[];
    block_attention<C>(params, params.items[blockIdx.x], raw).run(raw);
}

// The launcher of one variant.
template <typename C>
cudaError_t launch(const kernel_params & params, const launch_target & target) {
    if (const cudaError_t error =
            cudaFuncSetAttribute(attention<C>, cudaFuncAttributeMaxDynamicSharedMemorySize, C::k_shared_bytes);
        error != cudaSuccess) {
        return error;
    }
    attention<C><<<params.n_items, C::k_threads, C::k_shared_bytes, target.stream>>>(params);
    return cudaGetLastError();
}

}  // namespace tmx::cuda::sm80
