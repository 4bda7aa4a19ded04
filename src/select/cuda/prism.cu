// Method "prism" (select/prism.h): means of queries and of keys, the factors of both bands, products of all means with
// all, bits. Means are f32, their dimensions from the fastest to the slowest, so that a band is a stretch of them; so
// are products, [query head][tile][band][block]. docs/selection.md.
#include "select/prism.h"

#include "kernels/cuda/ptx.cuh"
#include "select/cuda/launches.h"
#include "select/cuda/mean.cuh"
#include "select/cuda/pick.cuh"
#include "select/cuda/prism_products.cuh"
#include "select/methods.h"

namespace tmx {
namespace {

using namespace cuda;

struct mean_params {
    const void * data;  // [head][row][d]
    int64_t stride_head, stride_row;
    int64_t n_rows;
    float * means;  // [head][stretch of 128 rows][d]
    int64_t n_means;
    rotary_layout rotary;
    int32_t n_head;
    int32_t d;
    bool by_16;
    bool whole;  // divide by 128 even where there are fewer rows
};

// A thread block a mean, heads innermost: theirs lie beside each other.
template <typename T>
__global__ void __launch_bounds__(k_mean_threads, 6) mean_kernel(const __grid_constant__ mean_params p) {
    const auto n_head = static_cast<unsigned>(p.n_head);
    const int64_t head = blockIdx.x % n_head;
    const int64_t number = blockIdx.x / n_head;
    const int64_t first = number * k_bitmap_rows;
    const auto n_rows = static_cast<int32_t>(smaller(p.n_rows - first, k_bitmap_rows));
    const T * rows = static_cast<const T *>(p.data) + head * p.stride_head + first * p.stride_row;
    const float sum = sum_of_rows(rows, p.stride_row, p.by_16, n_rows, p.d);
    const auto dim = static_cast<int32_t>(threadIdx.x);
    if (dim < p.d) {
        const int32_t divisor = p.whole ? static_cast<int32_t>(k_bitmap_rows) : n_rows;
        p.means[(head * p.n_means + number) * p.d + speed_rank(p.rotary, dim)] = sum / static_cast<float>(divisor);
    }
}

constexpr int k_square_means = 32;  // of a thread block

struct factor_params {
    const float * q_means;
    const float * k_means;
    double3 * squares;  // [query head, then key head][chunk]: of all dimensions, of the fast, of the slow band
    float2 * factors;   // [query head] of the fast and of the slow band
    int64_t n_tiles, n_blocks;
    int64_t n_chunks;  // of k_square_means tiles or blocks
    prism_values values;
    float scale;
    int32_t d;
    int32_t n_head;
    int32_t group;
};

__device__ inline double3 sum_of_warp(double3 value) {
#pragma unroll
    for (int step = k_warp / 2; step > 0; step /= 2) {
        value.x += __shfl_xor_sync(k_all_lanes, value.x, step);
        value.y += __shfl_xor_sync(k_all_lanes, value.y, step);
        value.z += __shfl_xor_sync(k_all_lanes, value.z, step);
    }
    return value;
}
__device__ inline void add_to(double3 & sum, const double3 & value) {
    sum.x += value.x;
    sum.y += value.y;
    sum.z += value.z;
}

// Sums of squares: a thread block a chunk of one head's means.
__global__ void __launch_bounds__(k_mean_threads) square_kernel(const __grid_constant__ factor_params p) {
    __shared__ double3 parts[k_mean_threads / k_warp];
    const int64_t head = blockIdx.y;
    const bool of_queries = head < p.n_head;
    const int64_t n_means = of_queries ? p.n_tiles : p.n_blocks;
    const float * means = of_queries ? p.q_means + head * n_means * p.d : p.k_means + (head - p.n_head) * n_means * p.d;
    const int64_t first = int64_t{blockIdx.x} * k_square_means;
    const auto n = static_cast<int32_t>(larger(smaller(n_means - first, k_square_means), 0)) * p.d;
    const index_range fast = stretch_of_band(0, p.d);
    const index_range slow = stretch_of_band(1, p.d);
    double3 sum = make_double3(0, 0, 0);
#pragma unroll 4
    for (auto i = static_cast<int32_t>(threadIdx.x); i < n; i += k_mean_threads) {
        const double mean = means[first * p.d + i];
        const double square = mean * mean;
        const int32_t dim = i % p.d;
        add_to(sum, make_double3(square, dim < fast.end ? square : 0, dim >= slow.begin ? square : 0));
    }
    sum = sum_of_warp(sum);
    if (threadIdx.x % k_warp == 0) {
        parts[threadIdx.x / k_warp] = sum;
    }
    __syncthreads();
    if (threadIdx.x == 0) {
        for (int warp = 1; warp < k_mean_threads / k_warp; ++warp) {
            add_to(sum, parts[warp]);
        }
        p.squares[head * p.n_chunks + blockIdx.x] = sum;
    }
}

// A warp a query head.
__global__ void __launch_bounds__(k_warp) factor_kernel(const __grid_constant__ factor_params p) {
    const int64_t heads[2] = {blockIdx.x, p.n_head + blockIdx.x / p.group};
    double3 sums[2];
    for (int side = 0; side < 2; ++side) {
        double3 sum = make_double3(0, 0, 0);
        for (int64_t chunk = threadIdx.x; chunk < p.n_chunks; chunk += k_warp) {
            add_to(sum, p.squares[heads[side] * p.n_chunks + chunk]);
        }
        sums[side] = sum_of_warp(sum);
    }
    if (threadIdx.x < k_prism_bands) {
        const auto band = static_cast<int32_t>(threadIdx.x);
        const auto of_band = [&](const double3 & sum) { return prism_squares{band == 0 ? sum.y : sum.z, sum.x}; };
        constexpr double k_log2_e = 1.4426950408889634;
        const double factor = prism_factor(p.values, static_cast<double>(p.scale), p.d, band, of_band(sums[0]),
                                           of_band(sums[1]), [](double x) { return sqrt(x); });
        (&p.factors[blockIdx.x].x)[band] = static_cast<float>(factor * k_log2_e);
    }
}

struct pick_params {
    bitmap_shape shape;
    uint32_t * bits;
    float * products;
    int64_t row_products;  // of a tile and band, with unused ones
    const float2 * factors;
    wave part;
    prism_values values;
};

// Products become weights, whose sum it returns; not finite if a product is not.
template <class source>
__device__ inline float weigh_band(source & products, int32_t n, float factor) {
    const int lane = static_cast<int>(threadIdx.x) % k_warp;
    float largest = -INFINITY;
    products.for_each_word([&](int32_t word, float product) {
        if (word * k_warp + lane < n) {
            largest = fmaxf(largest, product * factor);
        }
    });
    largest = warp_max(largest);
    float sum = 0;
    products.change_each_word([&](int32_t word, float & product) {
        if (word * k_warp + lane < n) {
            product = ptx::exp2(fmaf(product, factor, -largest));
            sum += product;
        }
    });
    return warp_sum(sum);
}

// The cut of a share of the blocks: both bands' masses go into that of the first, the larger one of each two.
template <class source>
__device__ inline cut cut_of_share(const pick_params & p, index_range rows, source & fast, const source & slow,
                                   int32_t n, float fast_sum, float slow_sum) {
    const int lane = static_cast<int>(threadIdx.x) % k_warp;
    const float fast_share = 1 / fast_sum;
    const float slow_share = 1 / slow_sum;
    int32_t n_forced = 0;
    fast.change_each_word([&](int32_t word, float & mass) {
        const uint32_t forced = mandatory_bits(rows, word);
        n_forced += __popc(forced);
        if (word * k_warp + lane < n) {
            const float larger = fmaxf(mass * fast_share, slow.at(word) * slow_share);
            mass = (forced >> lane & 1) != 0 ? k_no_score : larger;
        }
    });
    return find_cut<false>(fast, static_cast<int32_t>(kept_blocks(p.values.keep, n) - n_forced));
}

// Of one tile. fast, slow: products, of which weights become.
template <class source>
__device__ void pick_blocks_of_tile(const pick_params & p, index_range rows, const float2 & factors, source fast,
                                    source slow, uint32_t * bits) {
    const auto n = static_cast<int32_t>(blocks_of(rows).end);
    const float fast_sum = weigh_band(fast, n, factors.x);
    const float slow_sum = weigh_band(slow, n, factors.y);
    const bool finite = fast_sum + slow_sum < INFINITY;
    const bool all = !finite || (p.values.keep <= 0 && wants_all(p.values.p));
    const auto n_words = static_cast<int32_t>(p.shape.n_words());
    for (int32_t word = static_cast<int32_t>(threadIdx.x) % k_warp; word < n_words; word += k_warp) {
        bits[word] = all ? visible_bits(rows, word) : mandatory_bits(rows, word);
    }
    if (all) {
        return;
    }
    if (p.values.keep > 0) {
        add_kept(fast, cut_of_share(p, rows, fast, slow, n, fast_sum, slow_sum), n, bits);
        return;
    }
    const auto share = static_cast<float>(p.values.p);
    add_kept(fast, find_cut<true>(fast, share * fast_sum), n, bits);
    add_kept(slow, find_cut<true>(slow, share * slow_sum), n, bits);
}

// A warp a tile.
template <bool k_held>
__global__ void __launch_bounds__(k_pick_threads, 4) pick_kernel(const __grid_constant__ pick_params p) {
    picked_tile at;
    if (!tile_of_warp(p.part, at)) {
        return;
    }
    const index_range rows = p.shape.rows_of(at.tile);
    const auto n = static_cast<int32_t>(blocks_of(rows).end);
    float * fast = p.products + at.number * k_prism_bands * p.row_products;
    float * slow = fast + p.row_products;
    uint32_t * bits = p.bits + p.shape.first_word(at.head, at.tile);
    if constexpr (k_held) {
        pick_blocks_of_tile(p, rows, p.factors[at.head], held_scores(fast, n), held_scores(slow, n), bits);
    } else {
        pick_blocks_of_tile(p, rows, p.factors[at.head], stored_scores{fast, n}, stored_scores{slow, n}, bits);
    }
}

// Where the parts of a segment's workspace lie.
struct prism_layout {
    int64_t n_blocks;
    int64_t row_products;
    wave_size waves;
    int64_t n_chunks;  // of means whose squares are summed
    int64_t q_means, k_means, squares, factors, products;
    int64_t bytes;
};

prism_layout layout_of(const attention_args & args, const bitmap_shape & shape) {
    prism_layout l;
    l.n_blocks = blocks_of({0, shape.ranks.end}).end;
    l.row_products = shape.n_words() * k_word_bits;
    const int64_t tile_bytes = k_prism_bands * l.row_products * 4;
    l.waves = wave_size::of(args.n_head, shape.n_tiles(), tile_bytes);
    workspace_layout all;
    l.q_means = all.take(args.n_head * shape.n_tiles() * args.d_qk * 4);
    l.k_means = all.take(args.n_head_kv * l.n_blocks * args.d_qk * 4);
    l.n_chunks = (larger(shape.n_tiles(), l.n_blocks) + k_square_means - 1) / k_square_means;
    l.squares = all.take((args.n_head + args.n_head_kv) * l.n_chunks * static_cast<int64_t>(sizeof(double3)));
    l.factors = all.take(args.n_head * 8);
    l.products = all.take(l.waves.n_rows() * tile_bytes);
    l.bytes = all.bytes();
    return l;
}

status enqueue_means(const prism_values & values, const cuda_selection_call & call, const cuda_selected_rows & rows,
                     const prism_layout & layout, float * q_means, float * k_means) {
    const attention_args & args = call.args;
    const auto stream = static_cast<cudaStream_t>(call.stream);
    const query_rows queries = queries_of(args, rows);
    const key_rows keys = keys_of(args, rows);
    const auto d = static_cast<int32_t>(args.d_qk);
    const mean_params q{queries.data,
                        queries.stride_head,
                        queries.stride_row,
                        rows.shape.ranks.size(),
                        q_means,
                        rows.shape.n_tiles(),
                        call.rotary,
                        static_cast<int32_t>(args.n_head),
                        d,
                        queries.by_16,
                        values.reference};
    const mean_params k{keys.data,
                        keys.stride_head,
                        keys.stride_row,
                        rows.shape.ranks.end,
                        k_means,
                        layout.n_blocks,
                        call.rotary,
                        static_cast<int32_t>(args.n_head_kv),
                        d,
                        true,
                        values.reference};
    mean_kernel<float><<<static_cast<unsigned>(q.n_head * q.n_means), k_mean_threads, 0, stream>>>(q);
    if (status s = launched("mean queries"); !s.ok()) {
        return s;
    }
    const auto n_keys = static_cast<unsigned>(k.n_head * k.n_means);
    if (args.k_type == dtype::bf16) {
        mean_kernel<__nv_bfloat16><<<n_keys, k_mean_threads, 0, stream>>>(k);
    } else {
        mean_kernel<__half><<<n_keys, k_mean_threads, 0, stream>>>(k);
    }
    return launched("mean keys");
}

status select_rows(const prism_values & values, const cuda_selection_call & call, const cuda_selected_rows & rows) {
    const attention_args & args = call.args;
    const auto stream = static_cast<cudaStream_t>(call.stream);
    const prism_layout layout = layout_of(args, rows.shape);
    auto * workspace = static_cast<uint8_t *>(call.workspace);
    auto * q_means = reinterpret_cast<float *>(workspace + layout.q_means);
    auto * k_means = reinterpret_cast<float *>(workspace + layout.k_means);
    auto * factors = reinterpret_cast<float2 *>(workspace + layout.factors);
    auto * products = reinterpret_cast<float *>(workspace + layout.products);
    if (status s = enqueue_means(values, call, rows, layout, q_means, k_means); !s.ok()) {
        return s;
    }
    const auto d = static_cast<int32_t>(args.d_qk);
    const auto group = static_cast<int32_t>(args.n_head / args.n_head_kv);
    const factor_params factor{q_means,
                               k_means,
                               reinterpret_cast<double3 *>(workspace + layout.squares),
                               factors,
                               rows.shape.n_tiles(),
                               layout.n_blocks,
                               layout.n_chunks,
                               values,
                               args.scale,
                               d,
                               static_cast<int32_t>(args.n_head),
                               group};
    const dim3 square_grid(static_cast<unsigned>(layout.n_chunks), static_cast<unsigned>(args.n_head + args.n_head_kv));
    square_kernel<<<square_grid, k_mean_threads, 0, stream>>>(factor);
    if (status s = launched("squares of means"); !s.ok()) {
        return s;
    }
    factor_kernel<<<static_cast<unsigned>(args.n_head), k_warp, 0, stream>>>(factor);
    if (status s = launched("factors of bands"); !s.ok()) {
        return s;
    }
    product_params product{q_means, k_means, products, layout.row_products, layout.n_blocks, rows.shape, {}, group, d};
    pick_params picked{rows.shape, rows.bits, products, layout.row_products, factors, {}, values};
    return for_each_wave(layout.waves, args.n_head, rows.shape.n_tiles(), [&](const wave & part) {
        product.part = picked.part = part;
        if (status s = launch_products(product, stream); !s.ok()) {
            return s;
        }
        if (layout.n_blocks <= held_scores::k_most) {
            pick_kernel<true><<<pick_blocks(part), k_pick_threads, 0, stream>>>(picked);
        } else {
            pick_kernel<false><<<pick_blocks(part), k_pick_threads, 0, stream>>>(picked);
        }
        return launched("picking blocks");
    });
}

}  // namespace

int64_t cuda_prism_workspace_bytes(const selection_rule &, const attention_args & args,
                                   std::span<const cuda_selected_rows> rows) noexcept {
    return most_bytes(rows, [&](const bitmap_shape & shape) { return layout_of(args, shape).bytes; });
}

status cuda_select_prism(const selection_rule & rule, const cuda_selection_call & call) {
    for (const cuda_selected_rows & rows : call.rows) {
        if (status s = select_rows(prism_of(rule), call, rows); !s.ok()) {
            return s;
        }
    }
    return {};
}

}  // namespace tmx
