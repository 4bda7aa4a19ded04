// Steps of method "flexprefill" before anything is kept: masses of blocks and groups, means, and scores of query-aware
// heads.
#pragma once

#include "select/cuda/mean.cuh"
#include "select/cuda/operands.h"
#include "select/cuda/pick.cuh"
#include "select/flexprefill.h"
#include "trianglemix/cuda_attention.h"
#include "trianglemix/cuda_line_sums.h"

namespace tmx::cuda {

constexpr int k_flex_threads = 256;
constexpr int k_flex_warps = k_flex_threads / 32;
constexpr unsigned k_row_blocks = 16;  // thread blocks that find the means of a head's tiles
constexpr int k_score_tiles = 8;       // of rows, that read the same mean keys at a time

struct flex_params {
    bitmap_shape shape;
    flexprefill_values values;
    query_rows q;
    key_rows k;
    int32_t d;
    int32_t group;  // query heads of a key head
    int32_t n_blocks;
    float scale;
    cuda_line_sums sums;
    float * pooled;         // [head][blocks, groups][n_blocks]
    float * mean_keys;      // [key head][d][n_blocks]
    float * mean_probes;    // [head][d] of the rows that weights are of
    float * mean_rows;      // [head][tile][d], of query-aware heads
    float * weights;        // [head][n_blocks] of the mean probe
    float * scores;         // [head][tile][shape.n_words() * 32], of query-aware heads
    uint32_t * kept;        // [head][tile][words], of query-aware heads: what their scores keep
    uint32_t * equal;       // the same, scratch
    uint32_t * lines;       // [head][verticals, distances][words]
    uint32_t * scratch;     // [head][kept, equal][2][words]
    uint8_t * query_aware;  // [head]

    TMX_HOST_DEVICE int64_t n_keys() const { return shape.ranks.end; }
    TMX_HOST_DEVICE int64_t row_scores() const { return shape.n_words() * k_word_bits; }
};

// A warp a block or group (x), of a head (y), z: blocks, groups.
__global__ void __launch_bounds__(k_flex_threads) pool_lines(const __grid_constant__ flex_params p) {
    const auto number = static_cast<int32_t>(blockIdx.x * k_flex_warps + threadIdx.x / 32);
    if (number >= p.n_blocks) {
        return;
    }
    const float * from = (blockIdx.z == 0 ? p.sums.vertical : p.sums.slash) + int64_t{blockIdx.y} * p.n_keys();
    // The published groups of slashes begin earlier by what the last block lacks.
    const int64_t shift = blockIdx.z == 0 ? 0 : slash_group_shift(p.values, p.n_keys());
    float sum = 0;
    for (int i = static_cast<int>(threadIdx.x) % 32; i < k_bitmap_keys; i += 32) {
        const int64_t at = number * k_bitmap_keys - shift + i;
        sum += at >= 0 && at < p.n_keys() ? from[at] : 0.0f;
    }
    sum = warp_sum(sum);
    if (threadIdx.x % 32 == 0) {
        p.pooled[(int64_t{blockIdx.y} * 2 + blockIdx.z) * p.n_blocks + number] = sum;
    }
}

// Thread i < d of a block writes dimension i of the mean of some rows.
template <typename T>
__device__ void write_mean(const T * rows, int64_t stride_row, bool by_16, int64_t n_rows, int32_t d, float * target,
                           int64_t target_stride) {
    const float sum = sum_of_rows(rows, stride_row, by_16, static_cast<int32_t>(n_rows), d);
    const auto dim = static_cast<int32_t>(threadIdx.x);
    if (dim < d) {
        target[dim * target_stride] = sum / static_cast<float>(n_rows);
    }
}

// A thread block a block of keys (x), of a key head (y).
template <typename T>
__global__ void __launch_bounds__(k_mean_threads) find_mean_keys(const __grid_constant__ flex_params p) {
    const int64_t first = int64_t{blockIdx.x} * k_bitmap_keys;
    const T * rows = static_cast<const T *>(p.k.data) + blockIdx.y * p.k.stride_head + first * p.k.stride_row;
    write_mean(rows, p.k.stride_row, true, smaller(p.n_keys() - first, k_bitmap_keys), p.d,
               p.mean_keys + int64_t{blockIdx.y} * p.d * p.n_blocks + blockIdx.x, p.n_blocks);
}

// A thread block a head.
__global__ void __launch_bounds__(k_mean_threads) find_mean_probes(const __grid_constant__ flex_params p) {
    const int64_t n = smaller(p.shape.ranks.size(), k_flexprefill_rows);
    const float * rows = p.q.data + blockIdx.x * p.q.stride_head + (p.shape.ranks.size() - n) * p.q.stride_row;
    write_mean(rows, p.q.stride_row, p.q.by_16, n, p.d, p.mean_probes + int64_t{blockIdx.x} * p.d, 1);
}

// Thread blocks (x) a head (y), each of every so many-th tile: most heads need none.
__global__ void __launch_bounds__(k_mean_threads, 4) find_mean_rows(const __grid_constant__ flex_params p) {
    if (p.query_aware[blockIdx.y] == 0) {
        return;
    }
    for (int64_t tile = blockIdx.x; tile < p.shape.n_tiles(); tile += gridDim.x) {
        const index_range ranks = p.shape.rows_of(tile);
        const float * rows =
            p.q.data + blockIdx.y * p.q.stride_head + (ranks.begin - p.shape.ranks.begin) * p.q.stride_row;
        write_mean(rows, p.q.stride_row, p.q.by_16, ranks.size(), p.d,
                   p.mean_rows + (blockIdx.y * p.shape.n_tiles() + tile) * p.d, 1);
        __syncthreads();  // nobody reads this tile's sums any more
    }
}

// Of one warp: logits [0, n) become weights that add up to 1.
__device__ inline void weigh_by_warp(float * logits, int32_t n, float scale) {
    const int lane = threadIdx.x % 32;
    float most = -INFINITY;
    for (int32_t i = lane; i < n; i += 32) {
        most = fmaxf(most, logits[i] * scale);
    }
    most = warp_max(most);
    float sum = 0;
    for (int32_t i = lane; i < n; i += 32) {
        logits[i] = expf(logits[i] * scale - most);
        sum += logits[i];
    }
    sum = warp_sum(sum);
    for (int32_t i = lane; i < n; i += 32) {
        logits[i] /= sum;
    }
}

constexpr int k_pattern_threads = 1024;

// The sum over a block of k_pattern_threads threads, in all of them: of warps, then of the warps' sums in their order.
template <typename T>
__device__ T sum_of_pattern_block(T value, T (&warps)[k_pattern_threads / 32]) {
#pragma unroll
    for (int step = 16; step > 0; step /= 2) {
        value += __shfl_xor_sync(0xffffffff, value, step);
    }
    if (threadIdx.x % 32 == 0) {
        warps[threadIdx.x / 32] = value;
    }
    __syncthreads();
    T sum = 0;
#pragma unroll
    for (int warp = 0; warp < k_pattern_threads / 32; ++warp) {
        sum += warps[warp];
    }
    __syncthreads();
    return sum;
}

// A thread block a head: whether it is query-aware.
__global__ void __launch_bounds__(k_pattern_threads) find_patterns(const __grid_constant__ flex_params p) {
    __shared__ float warp_values[k_pattern_threads / 32];
    __shared__ double warp_parts[k_pattern_threads / 32];
    const float * q = p.mean_probes + int64_t{blockIdx.x} * p.d;
    const float * keys = p.mean_keys + int64_t{blockIdx.x / p.group} * p.d * p.n_blocks;
    const float * masses = p.pooled + int64_t{blockIdx.x} * 2 * p.n_blocks;
    float * weights = p.weights + int64_t{blockIdx.x} * p.n_blocks;  // a thread reads only what it has written
    float most = -INFINITY;
    for (int32_t block = threadIdx.x; block < p.n_blocks; block += k_pattern_threads) {
        float logit = 0;
#pragma unroll 16
        for (int32_t i = 0; i < p.d; ++i) {
            logit += q[i] * keys[int64_t{i} * p.n_blocks + block];
        }
        weights[block] = logit * p.scale;
        most = fmaxf(most, logit * p.scale);
    }
    most = warp_max(most);
    if (threadIdx.x % 32 == 0) {
        warp_values[threadIdx.x / 32] = most;
    }
    __syncthreads();
    most = warp_max(warp_values[threadIdx.x % 32]);
    __syncthreads();
    float own = 0;
    for (int32_t block = threadIdx.x; block < p.n_blocks; block += k_pattern_threads) {
        own += weights[block] = expf(weights[block] - most);
    }
    const float sum = sum_of_pattern_block(own, warp_values);
    const auto part = [](double a, double middle) { return a > 0 ? a * log(a / middle) : 0; };  // 0 log 0 is 0
    double divergence = 0;
    for (int32_t block = threadIdx.x; block < p.n_blocks; block += k_pattern_threads) {
        const double a = weights[block] / sum;
        const double b = masses[block];
        divergence += (part(a, (a + b) / 2) + part(b, (a + b) / 2)) / 2;
    }
    divergence = sum_of_pattern_block(divergence, warp_parts);
    if (threadIdx.x == 0) {
        p.query_aware[blockIdx.x] = sqrt(divergence > 0 ? divergence : 0.0) < p.values.tau ? 1 : 0;
    }
}

// A thread block some tiles (x) of a head (y): weights of all blocks, 0 for those that a tile does not see.
__global__ void __launch_bounds__(k_flex_threads) find_scores(const __grid_constant__ flex_params p) {
    static_assert(k_score_tiles == k_flex_warps);
    constexpr int k_most_dim = 256;
    __shared__ float queries[k_most_dim][k_score_tiles];
    if (p.query_aware[blockIdx.y] == 0) {
        return;
    }
    const int64_t first_tile = int64_t{blockIdx.x} * k_score_tiles;
    const int64_t n_tiles = p.shape.n_tiles();
    for (int i = threadIdx.x; i < p.d * k_score_tiles; i += k_flex_threads) {
        const int64_t tile = first_tile + i / p.d;
        queries[i % p.d][i / p.d] = tile < n_tiles ? p.mean_rows[(blockIdx.y * n_tiles + tile) * p.d + i % p.d] : 0.0f;
    }
    __syncthreads();
    const float * keys = p.mean_keys + int64_t{blockIdx.y / p.group} * p.d * p.n_blocks;
    float * scores = p.scores + (blockIdx.y * n_tiles + first_tile) * p.row_scores();
    for (int32_t block = threadIdx.x; block < p.row_scores(); block += k_flex_threads) {
        float logits[k_score_tiles] = {};
        for (int32_t i = 0; i < p.d && block < p.n_blocks; ++i) {
            const float key = keys[int64_t{i} * p.n_blocks + block];
#pragma unroll
            for (int tile = 0; tile < k_score_tiles; ++tile) {
                logits[tile] += queries[i][tile] * key;
            }
        }
#pragma unroll
        for (int tile = 0; tile < k_score_tiles; ++tile) {
            if (first_tile + tile < n_tiles) {
                scores[tile * p.row_scores() + block] = logits[tile];
            }
        }
    }
    __syncthreads();
    const int tile = threadIdx.x / 32;
    if (first_tile + tile >= n_tiles) {
        return;
    }
    const auto n_seen = static_cast<int32_t>(blocks_of(p.shape.rows_of(first_tile + tile)).end);
    float * own = scores + tile * p.row_scores();
    weigh_by_warp(own, n_seen, p.scale);
    for (int64_t block = n_seen + threadIdx.x % 32; block < p.row_scores(); block += 32) {
        own[block] = 0;
    }
}

}  // namespace tmx::cuda
