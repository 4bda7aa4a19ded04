// Attention forward with an online softmax. A block computes a tile of rows of one head and visits the tiles of keys
// that its rows keep.
#include "probe/cuda/launch.cuh"
#include "probe/cuda/probe_kernels.h"
#include "probe/cuda/tile_math.cuh"

namespace tmx::cuda_probe {
namespace {

// Over the threads of a row.
__device__ inline float row_maximum(float x) {
#pragma unroll
    for (int lanes = k_row_threads / 2; lanes > 0; lanes /= 2) {
        x = fmaxf(x, __shfl_xor_sync(0xffffffff, x, lanes));
    }
    return x;
}
__device__ inline float row_sum(float x) {
#pragma unroll
    for (int lanes = k_row_threads / 2; lanes > 0; lanes /= 2) {
        x += __shfl_xor_sync(0xffffffff, x, lanes);
    }
    return x;
}

template <int k_parts>
__global__ void __launch_bounds__(k_threads, k_least_blocks) forward_kernel(const __grid_constant__ forward_params p) {
    extern __shared__ shared_tile s_tiles[];
    shared_tile & s_a = s_tiles[0];
    shared_tile & s_b = s_tiles[1];
    shared_tile & s_weights = s_tiles[2];

    const int row_tile = static_cast<int>(gridDim.x - 1 - blockIdx.x);  // the last rows, the most work, first
    const int head = static_cast<int>(blockIdx.y);
    const int kv_head = head / static_cast<int>(p.shape.n_head / p.shape.n_head_kv);
    const int n = static_cast<int>(p.shape.n);
    const int d = static_cast<int>(p.shape.d);
    const int row_begin = row_tile * k_side;
    const int row_end = row_begin + k_side < n ? row_begin + k_side : n;
    const auto q = rows_of(p.q, p.shape, p.shape.n_head, head);
    const auto k = rows_of(p.k, p.shape, p.shape.n_head_kv, kv_head);
    const auto v = rows_of(p.v, p.shape, p.shape.n_head_kv, kv_head);

    const bool dense = p.dense_head != nullptr && p.dense_head[head] != 0;
    kept_row kept[k_own];
    float maximum[k_own];
    float sum[k_own];  // this thread's columns
    float out[k_parts][k_own][k_own] = {};
#pragma unroll
    for (int i = 0; i < k_own; ++i) {
        const int row = row_begin + own_row() + i;
        kept[i] = row >= n ? k_no_row : dense ? row_of(band{}, row) : p.kept[row];
        maximum[i] = -INFINITY;
        sum[i] = 0;
    }

    const int first_range = p.first_range[row_tile];
    const int n_ranges = dense ? 1 : p.first_range[row_tile + 1] - first_range;
    for (int r = 0; r < n_ranges; ++r) {
        tile_range range;
        if (dense) {
            range.end = static_cast<int32_t>(tiles_of(visited_keys(band{}, {row_begin, row_end}).window.end));
        } else {
            range = p.ranges[first_range + r];
        }
        for (int kv_tile = range.begin; kv_tile < range.end; ++kv_tile) {
            const int key_begin = kv_tile * k_side;
            float scores[k_own][k_own];
            make_scores(scores, q, row_begin, k, key_begin, s_a, s_b);
#pragma unroll
            for (int i = 0; i < k_own; ++i) {
                float largest = maximum[i];
#pragma unroll
                for (int j = 0; j < k_own; ++j) {
                    const int key = key_begin + own_column() + k_row_threads * j;
                    scores[i][j] = keeps(kept[i], key) ? p.shape.scale * scores[i][j] : -INFINITY;
                    largest = fmaxf(largest, scores[i][j]);
                }
                largest = row_maximum(largest);
                const float base = largest == -INFINITY ? 0 : largest;  // a row that keeps nothing so far
                const float shrink = expf(maximum[i] - base);
                maximum[i] = largest;
                sum[i] *= shrink;
#pragma unroll
                for (int j = 0; j < k_own; ++j) {
                    const float weight = expf(scores[i][j] - base);
                    sum[i] += weight;
                    s_weights.values[own_row() + i][own_column() + k_row_threads * j] = weight;
                }
#pragma unroll
                for (int part = 0; part < k_parts; ++part) {
#pragma unroll
                    for (int j = 0; j < k_own; ++j) {
                        out[part][i][j] *= shrink;
                    }
                }
            }
#pragma unroll
            for (int part = 0; part < k_parts; ++part) {
                if (part * k_side < d) {
                    load_tile(s_b, v, key_begin, part * k_side);
                    __syncthreads();
                    add_product(out[part], s_weights, s_b);
                    __syncthreads();
                }
            }
        }
    }

    float factor[k_own];
#pragma unroll
    for (int i = 0; i < k_own; ++i) {
        const float total = row_sum(sum[i]);
        factor[i] = 1.0f / total;
        const int row = row_begin + own_row() + i;
        if (p.lse != nullptr && row < n && own_column() == 0) {
            p.lse[head * p.shape.n + row] = maximum[i] + logf(total);
        }
    }
    const auto to = rows_of(p.out, p.shape, p.shape.n_head, head);
#pragma unroll
    for (int part = 0; part < k_parts; ++part) {
        store_tile(to, row_begin, part * k_side, out[part], factor);
    }
}

}  // namespace

cudaError_t launch_forward(const forward_params & p) {
    const dim3 grid(static_cast<unsigned>(tiles_of(p.shape.n)), static_cast<unsigned>(p.shape.n_head));
    const kernel_forms<forward_params> forms = {forward_kernel<1>, forward_kernel<2>, forward_kernel<4>};
    return launch(forms, grid, 3, p);
}

}  // namespace tmx::cuda_probe
