// Products of the means of tiles with those of blocks, over each band's dimensions: plain f32, as they are few. A block
// of threads makes those of 64 tiles and 64 blocks, a thread of 8 and 4. What the bands share is computed once.
#pragma once

#include "select/cuda/launches.h"
#include "select/cuda/waves.h"
#include "select/prism.h"

namespace tmx::cuda {

// A band's dimensions, ordered by speed_rank().
TMX_HOST_DEVICE constexpr index_range stretch_of_band(int32_t band, int64_t d) {
    return band == 0 ? index_range{0, band_dims(0, d)} : index_range{d - band_dims(1, d), d};
}

struct product_params {
    const float * q_means;  // [query head][tile of the segment][d]
    const float * k_means;  // [key head][block][d]
    float * products;       // [query head of the wave][tile of the wave][band][row_products]
    int64_t row_products;
    int64_t n_blocks;
    bitmap_shape shape;
    wave part;
    int32_t group;
    int32_t d;
};

constexpr int k_product_side = 64;
constexpr int k_product_threads = 128;
constexpr int k_product_dims = 16;  // in shared memory at a time
constexpr int k_product_tiles = 8;  // of a thread
constexpr int k_product_row = k_product_side + 4;

// Dimensions [dim, dim + k_product_dims) of 64 means on their way to shared memory, [dim][mean]; zeros behind the last
// mean and dimension. A thread moves four dimensions of two means.
class means_on_the_way {
  public:
    __device__ void load(const float * means, int64_t n_means, int32_t d, int32_t dim, int32_t end) {
#pragma unroll
        for (int i = 0; i < 2; ++i) {
            fours_[i] = make_float4(0, 0, 0, 0);
            if (mean(i) < n_means && dim + own_dim() < end) {
                fours_[i] = *reinterpret_cast<const float4 *>(means + int64_t{mean(i)} * d + dim + own_dim());
            }
        }
    }
    __device__ void store(float (&to)[k_product_dims][k_product_row]) const {
#pragma unroll
        for (int i = 0; i < 2; ++i) {
            to[own_dim()][mean(i)] = fours_[i].x;
            to[own_dim() + 1][mean(i)] = fours_[i].y;
            to[own_dim() + 2][mean(i)] = fours_[i].z;
            to[own_dim() + 3][mean(i)] = fours_[i].w;
        }
    }

  private:
    static_assert(k_product_side * k_product_dims == 2 * 4 * k_product_threads);
    __device__ static int own_dim() {
        return static_cast<int>(threadIdx.x) % 4 * 4;
    }
    __device__ static int mean(int i) {
        return static_cast<int>(threadIdx.x) / 4 + i * (k_product_threads / 4);
    }

    float4 fours_[2];
};

__global__ void __launch_bounds__(k_product_threads) product_kernel(const __grid_constant__ product_params p) {
    __shared__ __align__(16) float q[2][k_product_dims][k_product_row];
    __shared__ __align__(16) float k[2][k_product_dims][k_product_row];
    const int64_t first_tile = int64_t{blockIdx.y} * k_product_side;  // of the wave
    const int64_t n_tiles = smaller(p.part.n_tiles - first_tile, k_product_side);
    const int64_t first_block = int64_t{blockIdx.x} * k_product_side;
    const index_range last_rows = p.shape.rows_of(p.part.tile_begin + first_tile + n_tiles - 1);
    if (first_block >= blocks_of(last_rows).end) {
        return;
    }
    const int64_t head = blockIdx.z;  // of the wave
    const int64_t head_q = p.part.head_begin + head;
    const float * q_means = p.q_means + (head_q * p.shape.n_tiles() + p.part.tile_begin + first_tile) * p.d;
    const float * k_means = p.k_means + (head_q / p.group * p.n_blocks + first_block) * p.d;
    const int own_block = static_cast<int>(threadIdx.x) % 16 * 4;
    const int own_tile = static_cast<int>(threadIdx.x) / 16 * k_product_tiles;
    means_on_the_way next_q;
    means_on_the_way next_k;
    int turn = 0;
    const auto add = [&](int64_t begin, int64_t end_dim, float(&sums)[k_product_tiles][4]) {
        const auto end = static_cast<int32_t>(end_dim);
        const auto load = [&](int32_t dim) {
            next_q.load(q_means, n_tiles, p.d, dim, end);
            next_k.load(k_means, p.n_blocks - first_block, p.d, dim, end);
        };
        load(static_cast<int32_t>(begin));
        for (auto dim = static_cast<int32_t>(begin); dim < end; dim += k_product_dims, turn ^= 1) {
            next_q.store(q[turn]);
            next_k.store(k[turn]);
            __syncthreads();  // they are there, and nobody reads those before any more when these are replaced
            load(dim + k_product_dims);
#pragma unroll
            for (int i = 0; i < k_product_dims; ++i) {
                const float4 right = *reinterpret_cast<const float4 *>(&k[turn][i][own_block]);
                float left[k_product_tiles];
                *reinterpret_cast<float4 *>(left) = *reinterpret_cast<const float4 *>(&q[turn][i][own_tile]);
                *reinterpret_cast<float4 *>(left + 4) = *reinterpret_cast<const float4 *>(&q[turn][i][own_tile + 4]);
#pragma unroll
                for (int tile = 0; tile < k_product_tiles; ++tile) {
                    sums[tile][0] = fmaf(left[tile], right.x, sums[tile][0]);
                    sums[tile][1] = fmaf(left[tile], right.y, sums[tile][1]);
                    sums[tile][2] = fmaf(left[tile], right.z, sums[tile][2]);
                    sums[tile][3] = fmaf(left[tile], right.w, sums[tile][3]);
                }
            }
        }
    };
    const auto write = [&](int band, int tile, const float4 & four) {
        if (first_block + own_block < p.row_products && own_tile + tile < n_tiles) {
            const int64_t row = (head * p.part.n_tiles + first_tile + own_tile + tile) * k_prism_bands + band;
            *reinterpret_cast<float4 *>(p.products + row * p.row_products + first_block + own_block) = four;
        }
    };
    const index_range fast = stretch_of_band(0, p.d);
    const index_range slow = stretch_of_band(1, p.d);
    float sums[k_product_tiles][4] = {};  // over the slow band, as far as it goes
    add(slow.begin, fast.end, sums);
    {
        float more[k_product_tiles][4] = {};
        add(fast.begin, slow.begin, more);
#pragma unroll
        for (int tile = 0; tile < k_product_tiles; ++tile) {
            write(0, tile,
                  make_float4(more[tile][0] + sums[tile][0], more[tile][1] + sums[tile][1],
                              more[tile][2] + sums[tile][2], more[tile][3] + sums[tile][3]));
        }
    }
    add(fast.end, slow.end, sums);
#pragma unroll
    for (int tile = 0; tile < k_product_tiles; ++tile) {
        write(1, tile, make_float4(sums[tile][0], sums[tile][1], sums[tile][2], sums[tile][3]));
    }
}

inline status launch_products(const product_params & p, cudaStream_t stream) {
    const auto sides = [](int64_t n) { return static_cast<unsigned>((n + k_product_side - 1) / k_product_side); };
    const int64_t n_visible = blocks_of(p.shape.rows_of(p.part.tile_begin + p.part.n_tiles - 1)).end;
    const dim3 grid(sides(n_visible), sides(p.part.n_tiles), static_cast<unsigned>(p.part.n_heads));
    product_kernel<<<grid, k_product_threads, 0, stream>>>(p);
    return launched("products of means");
}

}  // namespace tmx::cuda
