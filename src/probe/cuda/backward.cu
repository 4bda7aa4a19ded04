// The reverse pass of dense attention in two kernels: one makes dq and the sections' sums, a block for a tile of rows
// and a head; the other dk and dv, a block for a tile of keys and their head. Both make the scores again, so that
// nothing is added across blocks and every sum has one order. Formulas: probe_attention.h.
#include "probe/cuda/launch.cuh"
#include "probe/cuda/probe_kernels.h"
#include "probe/cuda/tile_math.cuh"

namespace tmx::cuda_probe {
namespace {

constexpr int k_warp = 32;
constexpr int k_warps = k_threads / k_warp;

template <typename value>
__device__ inline value warp_sum(value x) {
#pragma unroll
    for (int lanes = k_warp / 2; lanes > 0; lanes /= 2) {
        x += __shfl_xor_sync(0xffffffff, x, lanes);
    }
    return x;
}

// dots = do . o, in double: a warp for a row and head.
__global__ void __launch_bounds__(k_threads) dots_kernel(const __grid_constant__ backward_params p) {
    const int64_t at = int64_t{blockIdx.x} * k_warps + threadIdx.x / k_warp;  // row * n_head + head
    if (at >= p.shape.n * p.shape.n_head) {
        return;
    }
    double dot = 0;
    for (int64_t c = threadIdx.x % k_warp; c < p.shape.d; c += k_warp) {
        dot += static_cast<double>(p.out[at * p.shape.d + c]) * static_cast<double>(p.d_out[at * p.shape.d + c]);
    }
    dot = warp_sum(dot);
    if (threadIdx.x % k_warp == 0) {
        p.dots[at % p.shape.n_head * p.shape.n + at / p.shape.n_head] = static_cast<float>(dot);
    }
}

// What the probe adds up, over some pairs.
struct pair_sums {
    float values[k_sums];

    __device__ void add(const pair_sums & other, bool wanted) {
#pragma unroll
        for (int t = 0; t < k_sums; ++t) {
            values[t] += wanted ? other.values[t] : 0.0f;
        }
    }
    __device__ void add_to(double (&totals)[k_sums]) const {
#pragma unroll
        for (int t = 0; t < k_sums; ++t) {
            totals[t] += static_cast<double>(values[t]);
        }
    }
};

template <int k_parts>
__global__ void __launch_bounds__(k_threads, k_least_blocks) dq_kernel(const __grid_constant__ backward_params p) {
    extern __shared__ shared_tile s_tiles[];
    shared_tile & s_a = s_tiles[0];
    shared_tile & s_b = s_tiles[1];
    shared_tile & s_ds = s_tiles[2];
    __shared__ double s_totals[k_warps][k_head_sums];

    const int row_tile = static_cast<int>(gridDim.x - 1 - blockIdx.x);  // the last rows, the most work, first
    const int head = static_cast<int>(blockIdx.y);
    const int kv_head = head / static_cast<int>(p.shape.n_head / p.shape.n_head_kv);
    const int n = static_cast<int>(p.shape.n);
    const int d = static_cast<int>(p.shape.d);
    const int row_begin = row_tile * k_side;
    const index_range rows = {row_begin, smaller(row_begin + k_side, n)};
    const auto q = rows_of(p.q, p.shape, p.shape.n_head, head);
    const auto d_out = rows_of(p.d_out, p.shape, p.shape.n_head, head);
    const auto k = rows_of(p.k, p.shape, p.shape.n_head_kv, kv_head);
    const auto v = rows_of(p.v, p.shape, p.shape.n_head_kv, kv_head);

    float lse[k_own];
    float dot[k_own];
    float dq[k_parts][k_own][k_own] = {};
    double totals[3][k_sums] = {};  // of this thread's pairs, by section
#pragma unroll
    for (int i = 0; i < k_own; ++i) {
        const int row = row_begin + own_row() + i;
        lse[i] = row < n ? p.lse[head * p.shape.n + row] : 0;
        dot[i] = row < n ? p.dots[head * p.shape.n + row] : 0;
    }

    const int key_end = static_cast<int>(visited_keys(band{}, rows).window.end);
    for (int key_begin = 0; key_begin < key_end; key_begin += k_side) {
        float scores[k_own][k_own];
        float da[k_own][k_own];
        make_scores(scores, q, row_begin, k, key_begin, s_a, s_b);
        make_scores(da, d_out, row_begin, v, key_begin, s_a, s_b);
        pair_sums streaming = {};
        pair_sums last = {};
        pair_sums middle = {};
#pragma unroll
        for (int i = 0; i < k_own; ++i) {
            const int row = row_begin + own_row() + i;
            const kept_row causal = row < n ? row_of(band{}, row) : k_no_row;
            const kept_row streamed = row_of(p.streaming, row);
            pair_sums others = {};
#pragma unroll
            for (int j = 0; j < k_own; ++j) {
                const int column = own_column() + k_row_threads * j;
                const bool counts = keeps(causal, key_begin + column);
                const float a = counts ? expf(fmaf(p.shape.scale, scores[i][j], -lse[i])) : 0.0f;
                const float g = counts ? da[i][j] : 0.0f;
                const float ds = a * (g - dot[i]);
                s_ds.values[own_row() + i][column] = ds;
                const pair_sums terms = {fabsf(g), fabsf(g) * a, fabsf(ds), a};
                const bool streams = keeps(streamed, key_begin + column);
                streaming.add(terms, streams);
                others.add(terms, !streams);
            }
            last.add(others, row >= p.last_begin);
            middle.add(others, row < p.last_begin);
        }
        // Most tiles lie in one section, and some devices are slow in double precision.
        const tile_cover in_band = cover(p.streaming, rows, {key_begin, smaller(key_begin + k_side, key_end)});
        if (in_band != tile_cover::none) {
            streaming.add_to(totals[index_of(section::streaming)]);
        }
        if (in_band != tile_cover::full && rows.end > p.last_begin) {
            last.add_to(totals[index_of(section::last)]);
        }
        if (in_band != tile_cover::full && rows.begin < p.last_begin) {
            middle.add_to(totals[index_of(section::middle)]);
        }
#pragma unroll
        for (int part = 0; part < k_parts; ++part) {
            if (part * k_side < d) {
                load_tile(s_b, k, key_begin, part * k_side);
                __syncthreads();
                add_product(dq[part], s_ds, s_b);
                __syncthreads();
            }
        }
    }

    const float factor[k_own] = {p.shape.scale, p.shape.scale, p.shape.scale, p.shape.scale};
    const auto to = rows_of(p.dq, p.shape, p.shape.n_head, head);
#pragma unroll
    for (int part = 0; part < k_parts; ++part) {
        store_tile(to, row_begin, part * k_side, dq[part], factor);
    }
#pragma unroll
    for (int s = 0; s < k_head_sums; ++s) {
        const double total = warp_sum(totals[s / k_sums][s % k_sums]);
        if (threadIdx.x % k_warp == 0) {
            s_totals[threadIdx.x / k_warp][s] = total;
        }
    }
    __syncthreads();
    if (threadIdx.x < k_head_sums) {
        double total = 0;
        for (int warp = 0; warp < k_warps; ++warp) {
            total += s_totals[warp][threadIdx.x];
        }
        p.sums[(int64_t{head} * gridDim.x + row_tile) * k_head_sums + threadIdx.x] = total;
    }
}

template <int k_parts>
__global__ void __launch_bounds__(k_threads, k_least_blocks) dk_dv_kernel(const __grid_constant__ backward_params p) {
    extern __shared__ shared_tile s_tiles[];
    shared_tile & s_a = s_tiles[0];
    shared_tile & s_b = s_tiles[1];
    shared_tile & s_weights = s_tiles[2];  // [key][row], as are the scores below
    shared_tile & s_ds = s_tiles[3];

    const int kv_head = static_cast<int>(blockIdx.y);
    const int group = static_cast<int>(p.shape.n_head / p.shape.n_head_kv);
    const int n = static_cast<int>(p.shape.n);
    const int d = static_cast<int>(p.shape.d);
    const int key_begin = static_cast<int>(blockIdx.x) * k_side;  // the first keys, the most work, come first
    const auto k = rows_of(p.k, p.shape, p.shape.n_head_kv, kv_head);
    const auto v = rows_of(p.v, p.shape, p.shape.n_head_kv, kv_head);

    float dk[k_parts][k_own][k_own] = {};
    float dv[k_parts][k_own][k_own] = {};
    for (int head = kv_head * group; head < (kv_head + 1) * group; ++head) {
        const auto q = rows_of(p.q, p.shape, p.shape.n_head, head);
        const auto d_out = rows_of(p.d_out, p.shape, p.shape.n_head, head);
        for (int row_begin = key_begin; row_begin < n; row_begin += k_side) {  // rows before see none of these keys
            float scores[k_own][k_own];
            float da[k_own][k_own];
            make_scores(scores, k, key_begin, q, row_begin, s_a, s_b);
            make_scores(da, v, key_begin, d_out, row_begin, s_a, s_b);
#pragma unroll
            for (int j = 0; j < k_own; ++j) {
                const int column = own_column() + k_row_threads * j;
                const int row = row_begin + column;
                const kept_row causal = row < n ? row_of(band{}, row) : k_no_row;
                const float lse = row < n ? p.lse[head * p.shape.n + row] : 0;
                const float dot = row < n ? p.dots[head * p.shape.n + row] : 0;
#pragma unroll
                for (int i = 0; i < k_own; ++i) {
                    const bool counts = keeps(causal, key_begin + own_row() + i);
                    const float a = counts ? expf(fmaf(p.shape.scale, scores[i][j], -lse)) : 0.0f;
                    s_weights.values[own_row() + i][column] = a;
                    s_ds.values[own_row() + i][column] = a * (da[i][j] - dot);
                }
            }
#pragma unroll
            for (int part = 0; part < k_parts; ++part) {
                if (part * k_side < d) {
                    load_tile(s_a, d_out, row_begin, part * k_side);
                    load_tile(s_b, q, row_begin, part * k_side);
                    __syncthreads();
                    add_product(dv[part], s_weights, s_a);
                    add_product(dk[part], s_ds, s_b);
                    __syncthreads();
                }
            }
        }
    }

    const float one[k_own] = {1, 1, 1, 1};
    const float factor[k_own] = {p.shape.scale, p.shape.scale, p.shape.scale, p.shape.scale};
    const auto dk_to = rows_of(p.dk, p.shape, p.shape.n_head_kv, kv_head);
    const auto dv_to = rows_of(p.dv, p.shape, p.shape.n_head_kv, kv_head);
#pragma unroll
    for (int part = 0; part < k_parts; ++part) {
        store_tile(dk_to, key_begin, part * k_side, dk[part], factor);
        store_tile(dv_to, key_begin, part * k_side, dv[part], one);
    }
}

}  // namespace

cudaError_t launch_backward(const backward_params & p) {
    const auto n_tiles = static_cast<unsigned>(tiles_of(p.shape.n));
    const auto n_head = static_cast<unsigned>(p.shape.n_head);
    const auto n_head_kv = static_cast<unsigned>(p.shape.n_head_kv);
    dots_kernel<<<static_cast<unsigned>((p.shape.n * p.shape.n_head + k_warps - 1) / k_warps), k_threads>>>(p);
    if (const cudaError_t error = cudaGetLastError(); error != cudaSuccess) {
        return error;
    }
    const kernel_forms<backward_params> dq = {dq_kernel<1>, dq_kernel<2>, dq_kernel<4>};
    if (const cudaError_t error = launch(dq, dim3(n_tiles, n_head), 3, p); error != cudaSuccess) {
        return error;
    }
    const kernel_forms<backward_params> dk_dv = {dk_dv_kernel<1>, dk_dv_kernel<2>, dk_dv_kernel<4>};
    return launch(dk_dv, dim3(n_tiles, n_head_kv), 4, p);
}

}  // namespace tmx::cuda_probe
