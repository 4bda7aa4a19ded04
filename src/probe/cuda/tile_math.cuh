// Tiles of 64 x 64 floats in shared memory and their products in plain f32: 256 threads as a grid of 16 x 16, 4 x 4
// sums in the registers of each.
//
//   rows     of a thread: 4 * (thread / 16) + i        so a row's 16 threads are half a warp
//   columns  of a thread: thread % 16 + 16 * j         in a tile of scores: keys or rows, read from memory as rows
//                         4 * (thread % 16) + j        in a tile of dimensions
// Each spread keeps the 16-byte reads of a quarter of a warp in different banks.
#pragma once

#include <cstdint>

#include "probe/cuda/row_plan.h"
#include "probe/probe_attention.h"

namespace tmx::cuda_probe {

constexpr int k_threads = 256;
constexpr int k_least_blocks = 1;  // on a multiprocessor; asked for none, ptxas spills a few registers to fit two
constexpr int k_row_threads = 16;  // that share a row
constexpr int k_side = static_cast<int>(k_tile);
constexpr int k_own = k_side / k_row_threads;  // rows, and columns, of a thread

// Rows at multiples of 16 bytes; 8 rows one after the other start in different banks.
constexpr int k_row_floats = k_side + 4;
struct alignas(16) shared_tile {
    float values[k_side][k_row_floats];
};

// One head of an array [n, n_head, d].
template <typename value>
struct head_rows {
    value * data;  // row 0
    int64_t stride;
    int32_t n;
    int32_t d;
};

template <typename value>
__device__ inline head_rows<value> rows_of(value * array, const probe_attention_shape & s, int64_t n_head, int head) {
    return {array + head * s.d, n_head * s.d, static_cast<int32_t>(s.n), static_cast<int32_t>(s.d)};
}

__device__ inline int own_row() {
    return static_cast<int>(threadIdx.x) / k_row_threads * k_own;
}
__device__ inline int own_column() {
    return static_cast<int>(threadIdx.x) % k_row_threads;
}

// Rows from `row` on, dimensions from `dim` on; zero where the array has none. All threads; no barrier.
__device__ inline void load_tile(shared_tile & s_to, const head_rows<const float> & from, int row, int dim) {
    const int column = own_column() * 4;
    const bool in_row = dim + column < from.d;  // d is a multiple of 16: all four or none
#pragma unroll
    for (int r = 0; r < k_side; r += k_threads / k_row_threads) {
        const int to_row = r + static_cast<int>(threadIdx.x) / k_row_threads;
        float4 values = make_float4(0, 0, 0, 0);
        if (in_row && row + to_row < from.n) {
            values = *reinterpret_cast<const float4 *>(from.data + (row + to_row) * from.stride + dim + column);
        }
        *reinterpret_cast<float4 *>(&s_to.values[to_row][column]) = values;
    }
}

__device__ inline void read_four(float (&to)[4], const float * from) {
    const float4 values = *reinterpret_cast<const float4 *>(from);
    to[0] = values.x;
    to[1] = values.y;
    to[2] = values.z;
    to[3] = values.w;
}

// sums += a b^T, in a tile of scores.
__device__ inline void add_scores(float (&sums)[k_own][k_own], const shared_tile & s_a, const shared_tile & s_b) {
#pragma unroll 1  // 64 products hide the loop; more would cost registers
    for (int x = 0; x < k_side; x += 4) {
        float left[k_own][4];
        float right[k_own][4];
#pragma unroll
        for (int i = 0; i < k_own; ++i) {
            read_four(left[i], &s_a.values[own_row() + i][x]);
            read_four(right[i], &s_b.values[own_column() + k_row_threads * i][x]);
        }
#pragma unroll
        for (int y = 0; y < 4; ++y) {
#pragma unroll
            for (int i = 0; i < k_own; ++i) {
#pragma unroll
                for (int j = 0; j < k_own; ++j) {
                    sums[i][j] = fmaf(left[i][y], right[j][y], sums[i][j]);
                }
            }
        }
    }
}

// sums += a b, in a tile of dimensions. The tile's own sum is made first: over many tiles that loses fewer bits.
__device__ inline void add_product(float (&sums)[k_own][k_own], const shared_tile & s_a, const shared_tile & s_b) {
    float product[k_own][k_own] = {};
#pragma unroll 1
    for (int x = 0; x < k_side; x += 4) {
        float left[k_own][4];
        float right[4][k_own];
#pragma unroll
        for (int i = 0; i < k_own; ++i) {
            read_four(left[i], &s_a.values[own_row() + i][x]);
            read_four(right[i], &s_b.values[x + i][own_column() * 4]);
        }
#pragma unroll
        for (int y = 0; y < 4; ++y) {
#pragma unroll
            for (int i = 0; i < k_own; ++i) {
#pragma unroll
                for (int j = 0; j < k_own; ++j) {
                    product[i][j] = fmaf(left[i][y], right[y][j], product[i][j]);
                }
            }
        }
    }
#pragma unroll
    for (int i = 0; i < k_own; ++i) {
#pragma unroll
        for (int j = 0; j < k_own; ++j) {
            sums[i][j] += product[i][j];
        }
    }
}

// a b^T of tiles of rows of two arrays, over all dimensions. s_a and s_b are scratch; a barrier is the last thing done.
__device__ inline void make_scores(float (&scores)[k_own][k_own], const head_rows<const float> & a, int a_row,
                                   const head_rows<const float> & b, int b_row, shared_tile & s_a, shared_tile & s_b) {
#pragma unroll
    for (int i = 0; i < k_own; ++i) {
#pragma unroll
        for (int j = 0; j < k_own; ++j) {
            scores[i][j] = 0;
        }
    }
    for (int dim = 0; dim < a.d; dim += k_side) {
        load_tile(s_a, a, a_row, dim);
        load_tile(s_b, b, b_row, dim);
        __syncthreads();
        add_scores(scores, s_a, s_b);
        __syncthreads();
    }
}

// Writes `factor` times each row's sums: rows from `row` on, dimensions from `dim` on, of those that `to` has.
__device__ inline void store_tile(const head_rows<float> & to, int row, int dim, const float (&sums)[k_own][k_own],
                                  const float (&factor)[k_own]) {
    const int column = dim + own_column() * 4;
#pragma unroll
    for (int i = 0; i < k_own; ++i) {
        const int to_row = row + own_row() + i;
        if (to_row < to.n && column < to.d) {
            *reinterpret_cast<float4 *>(to.data + to_row * to.stride + column) = make_float4(
                factor[i] * sums[i][0], factor[i] * sums[i][1], factor[i] * sums[i][2], factor[i] * sums[i][3]);
        }
    }
}

// The kept keys of a row that is none.
constexpr kept_row k_no_row = {0, 0, -1};

}  // namespace tmx::cuda_probe
