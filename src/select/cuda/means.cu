// Method "means" (select/means.h): mean keys, scores of all blocks for each tile and key head, bits. Between the last
// two lie the scores, [key head][tile][block]. docs/selection.md.
#include "select/means.h"

#include <cmath>

#include "kernels/cuda/hopper.h"
#include "select/cuda/launches.h"
#include "select/cuda/mean.cuh"
#include "select/cuda/means_hopper.h"
#include "select/cuda/means_scores.cuh"
#include "select/cuda/pick.cuh"
#include "select/methods.h"

namespace tmx {
namespace {

using namespace cuda;

// Mean keys of a block of 128, as an operand: a thread block each; zeros behind the last block and dimension.
// Dimensions lie in their order, or at their fragment_place().
template <typename T, int k_dim>
__global__ void __launch_bounds__(k_mean_threads)
    mean_keys_kernel(const __grid_constant__ key_rows keys, int64_t n_ranks, int32_t d, bool in_order, T * means) {
    const int64_t first = int64_t{blockIdx.x} * k_bitmap_keys;
    const auto n_rows = static_cast<int32_t>(larger(smaller(n_ranks - first, k_bitmap_keys), 0));
    const T * rows = static_cast<const T *>(keys.data) + blockIdx.y * keys.stride_head + first * keys.stride_row;
    const float sum = sum_of_rows(rows, keys.stride_row, true, n_rows, d);
    const auto dim = static_cast<int32_t>(threadIdx.x);
    if (dim < k_dim) {
        T * target = means + (int64_t{blockIdx.y} * gridDim.x + blockIdx.x) * k_dim;
        target[in_order ? dim : fragment_place(dim)] =
            T(dim < d && n_rows > 0 ? sum / static_cast<float>(n_rows) : 0.0f);
    }
}

struct pick_params {
    bitmap_shape shape;
    uint32_t * bits;
    float * scores;
    int64_t row_scores;  // scores of a tile, with unused ones
    wave part;           // of key heads
    int32_t group;
    means_values values;
};

// Of one tile and key head.
template <class source>
__device__ void pick_blocks_of_tile(const pick_params & p, const picked_tile & at, index_range rows, source scores) {
    const int lane = static_cast<int>(threadIdx.x) % k_warp;
    const auto n_words = static_cast<int32_t>(p.shape.n_words());
    const auto n = static_cast<int32_t>(scored_blocks(rows));
    const bool by_share = p.values.keep > 0;

    float largest = 0;
    bool finite = true;
    scores.change_each_word([&](int32_t word, float & score) {
        if (word * k_warp + lane < n) {
            finite = finite && score < INFINITY;
            largest = fmaxf(largest, score);
            const bool forced = (means_forced_bits(p.values.reference, rows, word) >> lane & 1) != 0;
            score = by_share && forced ? k_no_score : score;
        }
    });
    const bool keeps_all = __any_sync(k_all_lanes, !finite);
    const auto each_head = [&](const auto & with_words) {
        for (int32_t head = 0; head < p.group; ++head) {
            with_words(p.bits + p.shape.first_word(at.head * p.group + head, at.tile));
        }
    };
    int32_t n_forced = 0;
    for (int32_t word = lane; word < n_words; word += k_warp) {
        const uint32_t forced = means_forced_bits(p.values.reference, rows, word);
        n_forced += __popc(forced);
        each_head([&](uint32_t * bits) { bits[word] = keeps_all ? visible_bits(rows, word) : forced; });
    }
    if (keeps_all) {
        return;
    }
    cut chosen{static_cast<float>(p.values.alpha) * warp_max(largest), k_all_of_level};  // passes_alpha()
    if (by_share) {
        const int64_t wanted = kept_blocks(p.values.keep, blocks_of(rows).end) - warp_sum(n_forced);
        chosen = find_cut<false>(scores, static_cast<int32_t>(wanted));
    }
    each_kept_word(scores, chosen, n,
                   [&](int32_t word, uint32_t kept) { each_head([&](uint32_t * bits) { bits[word] |= kept; }); });
}

// A warp a tile and key head.
template <bool k_held>
__global__ void __launch_bounds__(k_pick_threads, 5) pick_kernel(const __grid_constant__ pick_params p) {
    picked_tile at;
    if (!tile_of_warp(p.part, at)) {
        return;
    }
    const index_range rows = p.shape.rows_of(at.tile);
    const auto n = static_cast<int32_t>(scored_blocks(rows));
    float * scores = p.scores + at.number * p.row_scores;
    if constexpr (k_held) {
        pick_blocks_of_tile(p, at, rows, held_scores(scores, n));
    } else {
        pick_blocks_of_tile(p, at, rows, stored_scores{scores, n});
    }
}

// Where the parts of a segment's workspace lie.
struct means_layout {
    int64_t n_padded;    // blocks with mean keys
    int64_t row_scores;  // of a tile
    wave_size waves;
    int64_t means, scores;
    int64_t bytes;
};

means_layout layout_of(const attention_args & args, const bitmap_shape & shape) {
    means_layout l;
    l.row_scores = shape.n_words() * k_word_bits;
    l.n_padded = (l.row_scores + k_score_columns - 1) / k_score_columns * k_score_columns;
    l.waves = wave_size::of(args.n_head_kv, shape.n_tiles(), l.row_scores * 4);
    workspace_layout all;
    l.means = all.take(args.n_head_kv * l.n_padded * score_dim(args.d_qk) * 2);
    l.scores = all.take(l.waves.n_rows() * l.row_scores * 4);
    l.bytes = all.bytes();
    return l;
}

template <typename T, int k_dim>
status select_rows(const means_values & values, const cuda_selection_call & call, const cuda_selected_rows & rows) {
    const attention_args & args = call.args;
    const auto stream = static_cast<cudaStream_t>(call.stream);
    const means_layout layout = layout_of(args, rows.shape);
    auto * workspace = static_cast<uint8_t *>(call.workspace);
    auto * means = reinterpret_cast<T *>(workspace + layout.means);
    auto * scores = reinterpret_cast<float *>(workspace + layout.scores);
    const auto d = static_cast<int32_t>(args.d_qk);
    bool hopper = false;
    if (status s = launched(is_hopper(hopper), "the device's architecture"); !s.ok()) {
        return s;
    }
    hopper = hopper && args.d_qk <= k_most_hopper_dim;
    const dim3 grid(static_cast<unsigned>(layout.n_padded), static_cast<unsigned>(args.n_head_kv));
    mean_keys_kernel<T, k_dim>
        <<<grid, k_mean_threads, 0, stream>>>(keys_of(args, rows), rows.shape.ranks.end, d, hopper, means);
    if (status s = launched("mean keys"); !s.ok()) {
        return s;
    }
    const auto group = static_cast<int32_t>(args.n_head / args.n_head_kv);
    constexpr float k_log2_e = 1.44269504088896f;
    score_params params{queries_of(args, rows),
                        means,
                        layout.n_padded,
                        scores,
                        layout.row_scores,
                        rows.shape.ranks,
                        {},
                        group,
                        d,
                        std::fabs(args.scale) * k_log2_e,
                        args.scale < 0 ? -1.0f : 1.0f,
                        values.reference};
    pick_params picked{rows.shape, rows.bits, scores, layout.row_scores, {}, group, values};
    return for_each_wave(layout.waves, args.n_head_kv, rows.shape.n_tiles(), [&](const wave & part) {
        params.part = picked.part = part;
        if (status s = hopper ? launched(score_means_on_hopper(params, args.n_head_kv * layout.n_padded,
                                                               args.k_type == dtype::bf16, stream),
                                         "scoring mean keys")
                              : launch_scores<T, k_dim>(params, stream);
            !s.ok()) {
            return s;
        }
        if (layout.row_scores <= held_scores::k_most) {
            pick_kernel<true><<<pick_blocks(part), k_pick_threads, 0, stream>>>(picked);
        } else {
            pick_kernel<false><<<pick_blocks(part), k_pick_threads, 0, stream>>>(picked);
        }
        return launched("picking blocks");
    });
}

template <typename T>
status select_rows(const means_values & values, const cuda_selection_call & call, const cuda_selected_rows & rows) {
    switch (score_dim(call.args.d_qk)) {
        case 64:
            return select_rows<T, 64>(values, call, rows);
        case 128:
            return select_rows<T, 128>(values, call, rows);
        default:
            return select_rows<T, 256>(values, call, rows);
    }
}

}  // namespace

int64_t cuda_means_workspace_bytes(const selection_rule &, const attention_args & args,
                                   std::span<const cuda_selected_rows> rows) noexcept {
    return most_bytes(rows, [&](const bitmap_shape & shape) { return layout_of(args, shape).bytes; });
}

status cuda_select_means(const selection_rule & rule, const cuda_selection_call & call) {
    for (const cuda_selected_rows & rows : call.rows) {
        const status s = call.args.k_type == dtype::bf16 ? select_rows<__nv_bfloat16>(means_of(rule), call, rows)
                                                         : select_rows<__half>(means_of(rule), call, rows);
        if (!s.ok()) {
            return s;
        }
    }
    return {};
}

}  // namespace tmx
