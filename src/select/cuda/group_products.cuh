// The logits of "xattention" and what remains of them: products of packed query groups with packed key groups, a matrix
// product of depth stride x d. Of a row's logits in 64 key groups (a stretch) are stored the largest, the sum of the
// weights relative to it, and the part of that sum of each block of keys. Logits are not stored.
#pragma once

#include <cuda_runtime.h>

#include "kernels/cuda/ptx.cuh"
#include "select/cuda/group_packs.cuh"
#include "select/cuda/waves.h"
#include "select/xattention.h"

namespace tmx::cuda {

constexpr int k_group_rows = 128;              // query groups of a tile of products
constexpr int k_group_columns = 256;           // key groups of it
constexpr int k_stretch = 64;                  // key groups of a stretch
constexpr int k_depth = 64;                    // of a step: a row of 128 bytes
constexpr int k_pair_rows = 2 * k_group_rows;  // of two tiles that may be made together

// Groups of keys where the keys themselves lie, for kernels that can read them there: [key head][group][place in the
// group][d], if every group is whole.
struct groups_in_place {
    const void * keys;  // of the wave's first key head; null: they are packed
    int64_t stride_head, stride_key;
    int64_t n_groups;
    int64_t d;
};

struct group_params {
    const void * q;       // [head of the wave][q_rows][depth]
    const void * k;       // [key head of the wave][k_rows][depth]; only if there is nothing in `in_place`
    float2 * stretches;   // [head of the wave][q_rows][n_stretches] largest logit in base 2, sum of weights
    float * parts;        // [head of the wave][q_rows][row_blocks]
    int64_t q_rows;       // multiple of k_pair_rows
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
    groups_in_place in_place;
    pack_params next;  // queries of the next wave, which some kernels pack meanwhile; n_heads 0: none
};

// Tiles of products, of k_rows query groups each, lie below the diagonal. They are numbered through chunks of
// k_chunk_columns tiles along the key groups; in a chunk through all heads and query groups; in these through the
// chunk's tiles. What multiprocessors work at together so has few key groups, which stay in the L2 cache while all
// heads' queries pass by.
struct product_place {
    int64_t head;         // of the wave
    int64_t row, column;  // of the first group; the row counts from the wave's first
};
template <int k_rows>
class product_places {
    static constexpr int64_t k_chunk_columns = 8;

  public:
    TMX_HOST_DEVICE constexpr product_places(index_range groups, int64_t n_heads)
        : groups_(groups), n_heads_(n_heads), n_tiles_((groups.size() + k_rows - 1) / k_rows) {}

    TMX_HOST_DEVICE constexpr int64_t size() const {
        int64_t n = 0;
        for (int64_t begin = 0; begin < columns_of(n_tiles_ - 1); begin += k_chunk_columns) {
            n += n_heads_ * chunk(begin).of_head;
        }
        return n;
    }
    // REQUIRES number < size().
    TMX_HOST_DEVICE constexpr product_place operator[](int64_t number) const {
        int64_t begin = 0;
        chunk_size size = chunk(0);
        while (number >= n_heads_ * size.of_head) {
            number -= n_heads_ * size.of_head;
            begin += k_chunk_columns;
            size = chunk(begin);
        }
        const int64_t head = number / size.of_head;
        number %= size.of_head;
        int64_t tile = size.first_tile;
        for (; tile < size.first_whole; ++tile) {
            const int64_t n = columns_of(tile) - begin;
            if (number < n) {
                return {head, tile * k_rows, (begin + number) * k_group_columns};
            }
            number -= n;
        }
        tile += number / size.n_columns;
        return {head, tile * k_rows, (begin + number % size.n_columns) * k_group_columns};
    }

  private:
    struct chunk_size {
        int64_t first_tile;   // that sees any of its key groups
        int64_t first_whole;  // that sees all its tiles of them
        int64_t n_columns;    // of these
        int64_t of_head;      // tiles of products
    };
    TMX_HOST_DEVICE constexpr chunk_size chunk(int64_t begin) const {
        chunk_size size{};
        size.n_columns = smaller(columns_of(n_tiles_ - 1) - begin, k_chunk_columns);
        size.first_tile = larger(begin * k_group_columns - groups_.begin, 0) / k_rows;
        size.first_whole = size.first_tile;
        for (; columns_of(size.first_whole) < begin + size.n_columns; ++size.first_whole) {
            size.of_head += columns_of(size.first_whole) - begin;
        }
        size.of_head += (n_tiles_ - size.first_whole) * size.n_columns;
        return size;
    }
    // Tiles along the key groups that a tile's query groups see.
    TMX_HOST_DEVICE constexpr int64_t columns_of(int64_t tile) const {
        return (smaller(groups_.begin + (tile + 1) * k_rows, groups_.end) - 1) / k_group_columns + 1;
    }

    index_range groups_;
    int64_t n_heads_;
    int64_t n_tiles_;
};

// The sums over four threads of eight values each: those of which thread l of them gets 2 l and 2 l + 1.
__device__ inline float2 two_of_eight(const float (&values)[8], int lane) {
    const bool odd = (lane & 1) != 0;
    const bool high = (lane & 2) != 0;
    float four[4];  // values 2 odd + {0, 1, 4, 5}
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        const int j = i / 2 * 4 + i % 2;
        const float given = odd ? values[j] : values[j + 2];
        four[i] = (odd ? values[j + 2] : values[j]) + __shfl_xor_sync(0xffffffff, given, 1);
    }
    float two[2];
#pragma unroll
    for (int i = 0; i < 2; ++i) {
        const float given = high ? four[i] : four[i + 2];
        two[i] = (high ? four[i + 2] : four[i]) + __shfl_xor_sync(0xffffffff, given, 2);
    }
    return make_float2(two[0], two[1]);
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
    // Below the diagonal nothing is masked. Rounding keeps the order of products: the largest is scaled alone.
    const bool whole = __all_sync(0xffffffff, end == k_stretch);
    const auto seen = [&](int j) { return j / 2 * 8 + first + j % 2 < end; };
    float largest = -INFINITY;
    if (whole) {
#pragma unroll
        for (int j = 0; j < 16; ++j) {
            largest = fmaxf(largest, products[j]);
        }
    } else {
#pragma unroll
        for (int j = 0; j < 16; ++j) {
            largest = fmaxf(largest, seen(j) ? products[j] : -INFINITY);
        }
    }
    largest = fmaxf(largest, __shfl_xor_sync(0xffffffff, largest, 1));
    largest = fmaxf(largest, __shfl_xor_sync(0xffffffff, largest, 2)) * factor;
    float weights[16];
#pragma unroll
    for (int j = 0; j < 16; ++j) {
        weights[j] = ptx::exp2(fmaf(products[j], factor, -largest));
    }
    if (!whole) {
#pragma unroll
        for (int j = 0; j < 16; ++j) {
            weights[j] = seen(j) ? weights[j] : 0.0f;
        }
    }
    float parts[8];
    float sum = 0;
#pragma unroll
    for (int j = 0; j < 8; ++j) {
        parts[j] = weights[j * 2] + weights[j * 2 + 1];
        sum += parts[j];
    }
    sum += __shfl_xor_sync(0xffffffff, sum, 1);
    sum += __shfl_xor_sync(0xffffffff, sum, 2);
    if (end > 0 && lane % 4 == 0) {
        const int64_t at = (head * p.q_rows + row) * p.n_stretches + column / k_stretch;
        p.stretches[at] = make_float2(largest, sum);
    }
    const auto stride = static_cast<int32_t>(p.values.stride);
    const auto block_columns = static_cast<int32_t>(k_bitmap_keys) / stride;
    float * row_parts = p.parts + (head * p.q_rows + row) * p.row_blocks;
    const int64_t block = column * stride / k_bitmap_keys;
    if (block_columns == 8) {
        const float2 two = two_of_eight(parts, lane);
        if (end > 0) {
            *reinterpret_cast<float2 *>(row_parts + block + first) = two;
        }
        return;
    }
    // Sums over threads, as far as blocks are wider than a thread's two columns.
#pragma unroll
    for (int j = 0; j < 8; ++j) {
        if (block_columns >= 4) {
            parts[j] += __shfl_xor_sync(0xffffffff, parts[j], 1);
        }
        if (block_columns > 8) {
            parts[j] += __shfl_xor_sync(0xffffffff, parts[j], 2);
        }
    }
    if (end <= 0) {
        return;
    }
    float * target = row_parts + block;
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
