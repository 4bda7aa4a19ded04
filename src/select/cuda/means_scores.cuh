// The scores of "means": one product of all queries with all mean keys, twice, because a row's largest logit must be
// known before its weights are. A block scores the tile of one key head: its queries stay in registers, sets of
// k_rows packed rows one after the other (row 128 h + i is row i of the group's head h), mean keys pass through shared
// memory in chunks. Neither logits nor weights are stored.
#pragma once

#include "select/cuda/launches.h"
#include "select/cuda/means_tile.cuh"
#include "select/cuda/tiles.cuh"

namespace tmx::cuda {

constexpr int k_score_columns = 64;  // mean keys of a chunk

template <typename T, int k_dim_>
struct score_config {
    using element = T;
    static constexpr int k_dim = k_dim_;
    static constexpr int k_warps = 4;
    static constexpr int k_threads = 32 * k_warps;
    static constexpr int k_bands = k_dim <= 128 ? 4 : 2;  // of 16 rows a warp
    static constexpr int k_steps = k_dim / 16;
    // Of the steps of a product, those whose queries a thread has in registers. What it has no room for lies in shared
    // memory, where nobody else looks at it.
    static constexpr int k_held = k_dim == 64 ? 4 : k_dim == 128 ? 6 : 11;
    static constexpr int k_rows = k_warps * k_bands * 16;
    static constexpr int k_blocks = 2;  // on a multiprocessor: one loads queries while the other computes
    static constexpr int k_chunk_bytes = k_score_columns * k_dim * 2;
    static constexpr int k_sums_bytes = 2 * k_warps * k_score_columns * 4;
    static constexpr int k_queries_bytes = (k_steps - k_held) * k_bands * k_threads * 16;
    static constexpr int k_shared_bytes = 2 * k_chunk_bytes + k_sums_bytes + k_queries_bytes;
};

template <typename C>
class tile_scorer {
    using T = typename C::element;

  public:
    // REQUIRES a tile that all threads see, with blocks to score.
    __device__ tile_scorer(const score_params & p, scored_tile & tile, uint8_t * shared)
        : p_(p),
          tile_(tile),
          chunks_(ptx::shared_address(shared)),
          sums_(reinterpret_cast<float *>(shared + 2 * C::k_chunk_bytes)),
          others_(reinterpret_cast<uint32_t *>(shared + 2 * C::k_chunk_bytes + C::k_sums_bytes)) {}

    __device__ void run() {
        copy_chunk(0, 0);
        for (first_row_ = 0; first_row_ < p_.group * k_bitmap_rows; first_row_ += C::k_rows) {
            load_queries();
            find_peaks();
            settle_peaks();
            add_weights();
        }
        ptx::copy_wait<0>();
    }

  private:
    // Packed row of this thread, r = 0 or 1 of a band.
    __device__ int packed(int band, int r) const {
        const auto thread = static_cast<int>(threadIdx.x);
        return first_row_ + (thread / 32 * C::k_bands + band) * 16 + thread % 32 / 4 + r * 8;
    }
    __device__ bool exists(int row) const {
        return row < p_.group * static_cast<int>(k_bitmap_rows) && row % static_cast<int>(k_bitmap_rows) < tile_.n_rows;
    }

    __device__ int32_t n_chunks() const { return (tile_.n_scored + k_score_columns - 1) / k_score_columns; }

    __device__ void load_queries() {
        const int quarter = static_cast<int>(threadIdx.x) % 4 * 4;
#pragma unroll
        for (int band = 0; band < C::k_bands; ++band) {
#pragma unroll
            for (int r = 0; r < 2; ++r) {
                const int row = packed(band, r);
                const bool there = exists(row);
                const float * source = tile_.queries + quarter;
                if (there) {
                    source += row / static_cast<int>(k_bitmap_rows) * p_.queries.stride_head +
                              row % static_cast<int>(k_bitmap_rows) * p_.queries.stride_row;
                }
#pragma unroll
                for (int step = 0; step < C::k_steps; ++step) {
                    float4 four = make_float4(0, 0, 0, 0);
                    if (there && step * 16 < p_.d) {
                        four = load_four(source + step * 16);
                    }
                    uint32_t * target = step < C::k_held ? queries_[band][step] : other(band, step);
                    target[r] = ptx::pack<T>(four.x * p_.q_sign, four.y * p_.q_sign);
                    target[r + 2] = ptx::pack<T>(four.z * p_.q_sign, four.w * p_.q_sign);
                }
                asm volatile("" ::: "memory");  // no loads of more rows ahead: registers
            }
        }
    }
    // The thread's own four registers that lie in shared memory.
    __device__ uint32_t * other(int band, int step) {
        return others_ + (((step - C::k_held) * C::k_bands + band) * C::k_threads + static_cast<int>(threadIdx.x)) * 4;
    }
    __device__ float4 load_four(const float * from) const {
        if (p_.queries.by_16) {
            return __ldg(reinterpret_cast<const float4 *>(from));
        }
        return make_float4(__ldg(from), __ldg(from + 1), __ldg(from + 2), __ldg(from + 3));
    }

    __device__ void copy_chunk(int32_t chunk, int buffer) {
        constexpr int k_row_chunks = C::k_dim / 8;
        const T * source = static_cast<const T *>(tile_.means) + int64_t{chunk} * k_score_columns * C::k_dim;
        const uint32_t target = chunks_ + buffer * C::k_chunk_bytes;
#pragma unroll 4
        for (int i = static_cast<int>(threadIdx.x); i < k_score_columns * k_row_chunks; i += C::k_threads) {
            const int row = i / k_row_chunks;
            const int part = i % k_row_chunks;
            ptx::copy_16(target + chunk_offset<k_score_columns>(row, part), source + i * 8, true);
        }
        ptx::copy_commit();
    }
    // The chunk is there, nobody reads the one before, and the one after it is on its way; after the last comes the
    // first.
    __device__ uint32_t next_chunk(int32_t chunk) {
        ptx::copy_wait<0>();
        __syncthreads();
        const int buffer = turn_ & 1;
        ++turn_;
        copy_chunk(chunk + 1 < n_chunks() ? chunk + 1 : 0, turn_ & 1);
        return chunks_ + buffer * C::k_chunk_bytes;
    }

    // Logits of 16 mean keys, [band][key / 8][4].
    __device__ void multiply(uint32_t keys, int first_key, float (&logits)[C::k_bands][2][4]) {
        const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
        for (int band = 0; band < C::k_bands; ++band) {
#pragma unroll
            for (int i = 0; i < 8; ++i) {
                logits[band][i / 4][i % 4] = 0;
            }
        }
#pragma unroll
        for (int step = 0; step < C::k_steps; ++step) {
            uint32_t b[4];
            ptx::load_matrices(
                b, keys + chunk_offset<k_score_columns>(first_key + lane / 16 * 8 + lane % 8, step * 2 + lane / 8 % 2));
#pragma unroll
            for (int band = 0; band < C::k_bands; ++band) {
                if (step < C::k_held) {
                    ptx::mma<T>(logits[band][0], queries_[band][step], b[0], b[1]);
                    ptx::mma<T>(logits[band][1], queries_[band][step], b[2], b[3]);
                } else {
                    uint32_t a[4];
                    *reinterpret_cast<uint4 *>(a) = *reinterpret_cast<const uint4 *>(other(band, step));
                    ptx::mma<T>(logits[band][0], a, b[0], b[1]);
                    ptx::mma<T>(logits[band][1], a, b[2], b[3]);
                }
            }
        }
    }
    // The thread's first of 8 keys of a chunk; the other one is behind it.
    __device__ static int column(int first_key) {
        return first_key + static_cast<int>(threadIdx.x) % 4 * 2;
    }

    // Largest products of each row. All rows of a tile see the first keys of all blocks that its last row sees whole:
    // each votes on every scored block.
    __device__ void find_peaks() {
#pragma unroll
        for (int band = 0; band < C::k_bands; ++band) {
            peaks_[band][0] = peaks_[band][1] = -INFINITY;
        }
        for (int32_t chunk = 0; chunk < n_chunks(); ++chunk) {
            const uint32_t keys = next_chunk(chunk);
            const int32_t end = tile_.n_scored - chunk * k_score_columns;
#pragma unroll 1
            for (int first = 0; first < k_score_columns; first += 16) {
                float logits[C::k_bands][2][4];
                multiply(keys, first, logits);
#pragma unroll
                for (int i = 0; i < 8; ++i) {
                    const bool scored = column(first + i / 4 * 8) + i % 2 < end;
#pragma unroll
                    for (int band = 0; band < C::k_bands; ++band) {
                        float & peak = peaks_[band][i % 4 / 2];
                        peak = fmaxf(peak, scored ? logits[band][i / 4][i % 4] : -INFINITY);
                    }
                }
            }
        }
#pragma unroll
        for (int band = 0; band < C::k_bands; ++band) {
#pragma unroll
            for (int r = 0; r < 2; ++r) {
                float & peak = peaks_[band][r];
                peak = fmaxf(peak, __shfl_xor_sync(0xffffffff, peak, 1));
                peak = fmaxf(peak, __shfl_xor_sync(0xffffffff, peak, 2)) * p_.scale_log2;
            }
        }
    }

    // From peaks to what is added to logits: rows that do not exist get weights of 0.
    __device__ void settle_peaks() {
        const float tile_peak = p_.one_peak ? peak_of_block() : 0;
#pragma unroll
        for (int band = 0; band < C::k_bands; ++band) {
#pragma unroll
            for (int r = 0; r < 2; ++r) {
                const float peak = p_.one_peak ? tile_peak : peaks_[band][r];
                peaks_[band][r] = exists(packed(band, r)) ? -peak : -INFINITY;
            }
        }
    }
    // The largest of all rows so far.
    __device__ float peak_of_block() {
        float peak = -INFINITY;
#pragma unroll
        for (int band = 0; band < C::k_bands; ++band) {
#pragma unroll
            for (int r = 0; r < 2; ++r) {
                peak = exists(packed(band, r)) ? fmaxf(peak, peaks_[band][r]) : peak;
            }
        }
#pragma unroll
        for (int step = 16; step > 0; step /= 2) {
            peak = fmaxf(peak, __shfl_xor_sync(0xffffffff, peak, step));
        }
        __syncthreads();  // sums of the set before have been read
        if (threadIdx.x % 32 == 0) {
            sums_[threadIdx.x / 32] = peak;
        }
        __syncthreads();
#pragma unroll
        for (int warp = 0; warp < C::k_warps; ++warp) {
            peak = fmaxf(peak, sums_[warp]);
        }
        const float before = tile_.peak;
        peak = fmaxf(peak, before);
        __syncthreads();
        // next_chunk() comes before either is read, and before anything else is written to sums_.
        if (threadIdx.x == 0) {
            tile_.peak = peak;
            tile_.rescale = first_row_ == 0 ? 1.0f : ptx::exp2(before - peak);
        }
        return peak;
    }

    __device__ void add_weights() {
        for (int32_t chunk = 0; chunk < n_chunks(); ++chunk) {
            const uint32_t keys = next_chunk(chunk);
            if (chunk > 0) {
                flush(chunk - 1);
            }
            float * sums = sums_ + ((chunk & 1) * C::k_warps + threadIdx.x / 32) * k_score_columns;
#pragma unroll 1
            for (int first = 0; first < k_score_columns; first += 16) {
                float logits[C::k_bands][2][4];
                multiply(keys, first, logits);
#pragma unroll
                for (int eight = 0; eight < 2; ++eight) {
                    float columns[2] = {};
#pragma unroll
                    for (int band = 0; band < C::k_bands; ++band) {
#pragma unroll
                        for (int i = 0; i < 4; ++i) {
                            const float logit = logits[band][eight][i];
                            columns[i % 2] += ptx::exp2(fmaf(logit, p_.scale_log2, peaks_[band][i / 2]));
                        }
                    }
#pragma unroll
                    for (int step = 4; step < 32; step *= 2) {
                        columns[0] += __shfl_xor_sync(0xffffffff, columns[0], step);
                        columns[1] += __shfl_xor_sync(0xffffffff, columns[1], step);
                    }
                    if (threadIdx.x % 32 < 4) {
                        *reinterpret_cast<float2 *>(sums + column(first + eight * 8)) =
                            make_float2(columns[0], columns[1]);
                    }
                }
            }
        }
        __syncthreads();
        flush(n_chunks() - 1);
    }
    // The warps' sums of a chunk, in their order, to the scores.
    __device__ void flush(int32_t chunk) {
        const auto thread = static_cast<int>(threadIdx.x);
        const int32_t block = chunk * k_score_columns + thread;
        if (thread >= k_score_columns || block >= tile_.n_scored) {
            return;
        }
        const float * sums = sums_ + (chunk & 1) * C::k_warps * k_score_columns + thread;
        float sum = sums[0];
#pragma unroll
        for (int warp = 1; warp < C::k_warps; ++warp) {
            sum += sums[warp * k_score_columns];
        }
        float & score = tile_.scores[block];
        score = first_row_ == 0 ? sum : fmaf(score, tile_.rescale, sum);
    }

    const score_params & p_;
    scored_tile & tile_;
    const uint32_t chunks_;  // two, in turns
    float * const sums_;     // [2][warp][k_score_columns]
    uint32_t * const others_;
    int32_t first_row_ = 0;  // of the set
    int32_t turn_ = 0;       // chunks taken so far
    uint32_t queries_[C::k_bands][C::k_held][4];
    float peaks_[C::k_bands][2];
};

template <typename C>
__global__ void __launch_bounds__(C::k_threads, C::k_blocks) score_kernel(const __grid_constant__ score_params p) {
    extern __shared__ __align__(128) uint8_t raw[];
    __shared__ scored_tile tile;  // registers are for queries
    if (threadIdx.x == 0) {
        tile = tile_of(p, blockIdx.x);
    }
    __syncthreads();
    if (tile.n_scored > 0) {
        tile_scorer<C>(p, tile, raw).run();
    }
}

template <typename T, int k_dim>
status launch_scores(const score_params & p, cudaStream_t stream) {
    using C = score_config<T, k_dim>;
    if (const cudaError_t error =
            cudaFuncSetAttribute(score_kernel<C>, cudaFuncAttributeMaxDynamicSharedMemorySize, C::k_shared_bytes);
        error == cudaSuccess) {
        score_kernel<C>
            <<<static_cast<unsigned>(p.part.n_heads * p.part.n_tiles), C::k_threads, C::k_shared_bytes, stream>>>(p);
    }
    return launched("scoring mean keys");
}

}  // namespace tmx::cuda
