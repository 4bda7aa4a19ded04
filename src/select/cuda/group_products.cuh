// The logits of "xattention" and what remains of them: products of packed query groups with packed key groups, a matrix
// product of depth stride x d. Of a row's logits in 64 key groups (a stretch) are stored the largest, the sum of the
// weights relative to it, and the part of that sum of each block of keys. Logits are not stored.
#pragma once

#include <cuda_runtime.h>

#include "kernels/cuda/ptx.cuh"
#include "select/cuda/waves.h"
#include "select/xattention.h"

namespace tmx::cuda {

constexpr int k_group_rows = 128;     // query groups of a tile of products
constexpr int k_group_columns = 256;  // key groups of it
constexpr int k_stretch = 64;         // key groups of a stretch
constexpr int k_depth = 64;           // of a step: a row of 128 bytes
constexpr int k_band_tiles = 8;       // tiles of query groups that meet the same key groups at about the same time

struct group_params {
    const void * q;       // [head of the wave][q_rows][depth]
    const void * k;       // [key head of the wave][k_rows][depth]
    float2 * stretches;   // [head of the wave][q_rows][n_stretches] largest logit in base 2, sum of weights
    float * parts;        // [head of the wave][q_rows][row_blocks]
    int64_t q_rows;       // multiple of k_group_rows
    int64_t k_rows;       // multiple of k_group_columns
    int64_t n_stretches;  // k_rows / k_stretch
    int64_t row_blocks;
    int64_t depth;
    index_range groups;  // of the wave's queries
    index_range ranks;   // of the segment's rows
    int64_t head_begin;  // of the wave
    int32_t group;       // query heads of a key head
    float scale_log2;
    xattention_values values;
};

// Tiles of products lie below the diagonal. Their numbers go through bands of k_band_tiles tiles of query groups, and
// in a band through the key groups; at its diagonal a band has a few that are empty.
struct product_place {
    int64_t row, column;  // of the first group; the row counts from the wave's first
    bool empty;
};
TMX_HOST_DEVICE constexpr int64_t columns_of_band(const group_params & p, int64_t tile_end) {
    const int64_t last = smaller(p.groups.begin + tile_end * k_group_rows, p.groups.end) - 1;
    return last / k_group_columns + 1;
}
TMX_HOST_DEVICE constexpr int64_t tiles_of(const group_params & p) {
    return (p.groups.size() + k_group_rows - 1) / k_group_rows;
}
TMX_HOST_DEVICE constexpr int64_t n_products(const group_params & p) {
    int64_t n = 0;
    for (int64_t tile = 0; tile < tiles_of(p); tile += k_band_tiles) {
        const int64_t end = smaller(tile + k_band_tiles, tiles_of(p));
        n += (end - tile) * columns_of_band(p, end);
    }
    return n;
}
TMX_HOST_DEVICE constexpr product_place place_of(const group_params & p, int64_t number) {
    int64_t tile = 0;
    for (;;) {
        const int64_t end = smaller(tile + k_band_tiles, tiles_of(p));
        const int64_t n = (end - tile) * columns_of_band(p, end);
        if (number < n || end == tiles_of(p)) {
            const int64_t own = tile + number % (end - tile);
            const int64_t column = number / (end - tile);
            return {own * k_group_rows, column * k_group_columns, column >= columns_of_band(p, own + 1)};
        }
        number -= n;
        tile = end;
    }
}

// What a row's 64 products of one stretch become. A thread has columns 8 i + 2 (lane % 4) + {0, 1} in products[2 i] and
// [2 i + 1], as the matrix instructions leave them; four threads share the row.
__device__ inline void store_stretch(const group_params & p, int64_t head, int64_t row, int64_t column,
                                     const float (&products)[16]) {
    const int64_t i = p.groups.begin + row;
    const bool exists = i < p.groups.end;
    // Four threads agree on `exists` and on this; all of the warp take part in what follows.
    const auto end = static_cast<int32_t>(exists ? smaller(i + 1 - column, k_stretch) : 0);
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const int first = lane % 4 * 2;
    const float factor = p.scale_log2 / static_cast<float>(exists ? logit_divisor(p.values, p.ranks, i) : int64_t{1});
    float largest = -INFINITY;
#pragma unroll
    for (int j = 0; j < 16; ++j) {
        const bool seen = j / 2 * 8 + first + j % 2 < end;
        largest = fmaxf(largest, seen ? products[j] * factor : -INFINITY);
    }
    largest = fmaxf(largest, __shfl_xor_sync(0xffffffff, largest, 1));
    largest = fmaxf(largest, __shfl_xor_sync(0xffffffff, largest, 2));
    float parts[8];
    float sum = 0;
#pragma unroll
    for (int j = 0; j < 8; ++j) {
        float pair = 0;
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            const bool seen = j * 8 + first + half < end;
            const float weight = ptx::exp2(fmaf(products[j * 2 + half], factor, -largest));
            pair += seen ? weight : 0.0f;
        }
        parts[j] = pair;
        sum += pair;
    }
    sum += __shfl_xor_sync(0xffffffff, sum, 1);
    sum += __shfl_xor_sync(0xffffffff, sum, 2);
    const auto block_columns = static_cast<int32_t>(k_bitmap_keys / p.values.stride);
    // Sums over threads, as far as blocks are wider than a thread's two columns.
#pragma unroll
    for (int j = 0; j < 8; ++j) {
        if (block_columns >= 4) {
            parts[j] += __shfl_xor_sync(0xffffffff, parts[j], 1);
        }
        if (block_columns >= 8) {
            parts[j] += __shfl_xor_sync(0xffffffff, parts[j], 2);
        }
    }
    if (end <= 0) {
        return;
    }
    const int64_t at = head * p.q_rows + row;
    if (lane % 4 == 0) {
        p.stretches[at * p.n_stretches + column / k_stretch] = make_float2(largest, sum);
    }
    float * target = p.parts + at * p.row_blocks + column / block_columns;
    if (block_columns <= 4) {
        const int n_lanes = block_columns / 2;  // that share a block
#pragma unroll
        for (int j = 0; j < 8; ++j) {
            if (lane % n_lanes == 0) {
                target[j * (4 / n_lanes) + lane % 4 / n_lanes] = parts[j];
            }
        }
        return;
    }
    if (block_columns == 8) {
        // Each of the four threads writes two blocks.
        float2 two = make_float2(parts[0], parts[1]);
#pragma unroll
        for (int j = 1; j < 4; ++j) {
            two = lane % 4 == j ? make_float2(parts[j * 2], parts[j * 2 + 1]) : two;
        }
        *reinterpret_cast<float2 *>(target + first) = two;
        return;
    }
    if (lane % 4 == 0) {
#pragma unroll
        for (int j = 0; j < 8; j += 2) {
            parts[j] += parts[j + 1];
        }
        if (block_columns == 16) {
            *reinterpret_cast<float4 *>(target) = make_float4(parts[0], parts[2], parts[4], parts[6]);
        } else {
            *reinterpret_cast<float2 *>(target) = make_float2(parts[0] + parts[2], parts[4] + parts[6]);
        }
    }
}

}  // namespace tmx::cuda
