// Method "flexprefill" (select/flexprefill.h): sums along lines, what each head's budget keeps of them, bits; and for
// heads whose attention is not of lines, which the host never learns, scores of all tiles and blocks.
#include "select/cuda/flexprefill.cuh"

#include <cuda_runtime_api.h>

#include <algorithm>

#include "select/cuda/largest.cuh"
#include "select/cuda/launches.h"
#include "select/cuda/line_words.h"
#include "select/methods.h"

namespace tmx {
namespace {

using namespace cuda;

// Masses of a share of what they are together; one unit more than a sum may be that is at most a share of 1.
__device__ amount units_of(double share) {
    return static_cast<amount>(share * static_cast<double>(k_mass_units));
}

// How many blocks (kind 0) or groups (1) a head's budget asks for.
__device__ amount wanted_lines(const flex_params & p, int kind, const float * pooled, largest_memory & shared) {
    const int64_t head = blockIdx.x;
    if (p.query_aware[head] != 0) {
        return 0;
    }
    const auto n_blocks = static_cast<uint32_t>(p.n_blocks);
    if (p.values.reference) {
        const float * sums = (kind == 0 ? p.sums.vertical : p.sums.slash) + head * p.n_keys();
        const amount cover = number_that_has(
            static_cast<uint32_t>(p.n_keys()), units_of(p.values.gamma) + 1,
            [&](uint32_t i) { return __float_as_uint(sums[i]); }, [&](uint32_t i) { return mass_of(sums[i]); }, shared);
        return cover / k_bitmap_keys + 1;
    }
    if (p.values.gamma >= 1) {
        return n_blocks;
    }
    amount own = 0;
    for (uint32_t i = threadIdx.x; i < n_blocks; i += k_largest_threads) {
        own += mass_of(pooled[i]);
    }
    const auto total = static_cast<double>(sum_of_block(own, shared));
    return number_that_has(
        n_blocks, static_cast<amount>(ceil(p.values.gamma * total)),
        [&](uint32_t i) { return i == 0 ? ~uint32_t{0} : __float_as_uint(pooled[i]); },
        [&](uint32_t i) { return mass_of(pooled[i]); }, shared);
}

// A thread block a head (x) and kind (y): blocks, groups. Blocks are written as they are, groups as distances.
__global__ void __launch_bounds__(k_largest_threads, 1) keep_lines(const __grid_constant__ flex_params p) {
    __shared__ largest_memory shared;
    const int kind = blockIdx.y;
    const int64_t row = int64_t{blockIdx.x} * 2 + kind;
    const float * pooled = p.pooled + row * p.n_blocks;
    const auto wanted = static_cast<int64_t>(wanted_lines(p, kind, pooled, shared));
    const bool all = any_not_finite(pooled, static_cast<uint32_t>(p.n_blocks));
    const auto n = static_cast<amount>(all ? p.n_blocks : clamped_blocks(p.values, wanted, p.n_blocks));
    const auto bits_of = [&](uint32_t i) { return i == 0 ? ~uint32_t{0} : __float_as_uint(pooled[i]); };
    const auto n_words = static_cast<uint32_t>(p.shape.n_words());
    uint32_t * lines = p.lines + row * n_words;
    uint32_t * scratch = p.scratch + row * 2 * n_words;
    const auto n_blocks = static_cast<uint32_t>(p.n_blocks);
    const largest_cut cut = find_largest(n_blocks, n, bits_of, shared);
    write_largest(n_blocks, cut, bits_of, n_words, kind == 0 ? lines : scratch, scratch + n_words, shared);
    if (kind == 0) {
        return;
    }
    for (uint32_t word = threadIdx.x; word < n_words; word += k_largest_threads) {
        lines[word] = 0;
    }
    __syncthreads();
    for (int32_t group = threadIdx.x; group < p.n_blocks; group += k_largest_threads) {
        if ((scratch[group / k_word_bits] >> (group % k_word_bits) & 1) == 0) {
            continue;
        }
        const index_range distances = group_distances(p.values, group, tile_phase(p.shape));
        for (int64_t m = distances.begin; m < smaller(distances.end, p.row_scores()); ++m) {
            atomicOr(&lines[m / k_word_bits], uint32_t{1} << (m % k_word_bits));
        }
    }
}

// A thread block a head: which scores of all its tiles are kept.
__global__ void __launch_bounds__(k_largest_threads, 1) keep_scores(const __grid_constant__ flex_params p) {
    __shared__ largest_memory shared;
    const int64_t head = blockIdx.x;
    if (p.query_aware[head] == 0) {
        return;
    }
    const int64_t n_words = p.shape.n_tiles() * p.shape.n_words();
    const float * scores = p.scores + head * n_words * k_word_bits;
    const auto n = static_cast<uint32_t>(n_words * k_word_bits);
    const auto bits_of = [&](uint32_t i) { return __float_as_uint(scores[i]); };
    const double share = p.values.gamma * static_cast<double>(p.shape.n_tiles());
    amount wanted = n;
    if (p.values.reference || p.values.gamma < 1) {
        // The published rule leaves the one out that goes beyond the share.
        const amount more = p.values.reference ? 1 : 0;
        wanted = number_that_has(
                     n, units_of(share) + more, bits_of, [&](uint32_t i) { return mass_of(scores[i]); }, shared) -
                 more;
    }
    uint32_t * kept = p.kept + head * n_words;
    if (wanted == 0) {
        for (int64_t word = threadIdx.x; word < n_words; word += k_largest_threads) {
            kept[word] = 0;
        }
        return;
    }
    const amount most = wanted < n ? wanted : n;
    write_largest(n, find_largest(n, most, bits_of, shared), bits_of, static_cast<uint32_t>(n_words), kept,
                  p.equal + head * n_words, shared);
}

// A thread a word.
__global__ void __launch_bounds__(k_word_threads)
    add_kept_scores(const __grid_constant__ flex_params p, uint32_t * bits) {
    const int64_t at = int64_t{blockIdx.x} * k_word_threads + threadIdx.x;
    if (at >= p.shape.total_words()) {
        return;
    }
    const int64_t n_words = p.shape.n_words();
    if (p.query_aware[at / n_words / p.shape.n_tiles()] != 0) {
        bits[at] |= p.kept[at] & visible_bits(p.shape.rows_of(at / n_words % p.shape.n_tiles()), at % n_words);
    }
}

// Places in the workspace; returns its size. A null workspace: only that.
int64_t lay_out(const bitmap_shape & shape, int64_t n_head_kv, int64_t d, uint8_t * workspace, flex_params & p) {
    int64_t bytes = cuda_line_sums_bytes(shape, k_flexprefill_rows);
    const auto take = [&](auto *& place, int64_t n) {
        using element = std::remove_reference_t<decltype(*place)>;
        place = workspace == nullptr ? nullptr : reinterpret_cast<element *>(workspace + bytes);
        bytes += (n * static_cast<int64_t>(sizeof(element)) + 255) / 256 * 256;
    };
    const int64_t n_blocks = blocks_of({0, shape.ranks.end}).end;
    const int64_t head_words = shape.n_head * shape.n_words();
    take(p.pooled, shape.n_head * 2 * n_blocks);
    take(p.mean_keys, n_head_kv * d * n_blocks);
    take(p.mean_probes, shape.n_head * d);
    take(p.mean_rows, shape.n_head * shape.n_tiles() * d);
    take(p.weights, shape.n_head * n_blocks);
    take(p.scores, shape.total_words() * k_word_bits);
    take(p.kept, shape.total_words());
    take(p.equal, shape.total_words());
    take(p.lines, head_words * 2);
    take(p.scratch, head_words * 4);
    take(p.query_aware, shape.n_head);
    return bytes;
}

flex_params params_of(const flexprefill_values & values, const cuda_selection_call & call,
                      const cuda_selected_rows & rows) {
    const attention_args & args = call.args;
    flex_params p{};
    p.shape = rows.shape;
    p.values = values;
    p.q = queries_of(args, rows);
    p.k = keys_of(args, rows);
    p.d = static_cast<int32_t>(args.d_qk);
    p.group = static_cast<int32_t>(args.n_head / args.n_head_kv);
    p.n_blocks = static_cast<int32_t>(blocks_of({0, rows.shape.ranks.end}).end);
    p.scale = args.scale;
    lay_out(rows.shape, args.n_head_kv, args.d_qk, static_cast<uint8_t *>(call.workspace), p);
    return p;
}

status select_rows(const flexprefill_values & values, const cuda_selection_call & call,
                   const cuda_selected_rows & rows) {
    flex_params p = params_of(values, call, rows);
    if (status s = cuda_sum_lines(call.args, rows, k_flexprefill_rows, call.workspace, call.stream, p.sums); !s.ok()) {
        return s;
    }
    const auto stream = static_cast<cudaStream_t>(call.stream);
    const auto n_head = static_cast<unsigned>(p.shape.n_head);
    const auto n_tiles = static_cast<unsigned>(p.shape.n_tiles());
    const auto n_blocks = static_cast<unsigned>(p.n_blocks);
    pool_lines<<<dim3((n_blocks + k_flex_warps - 1) / k_flex_warps, n_head, 2), k_flex_threads, 0, stream>>>(p);
    const dim3 key_blocks(n_blocks, static_cast<unsigned>(call.args.n_head_kv));
    if (call.args.k_type == dtype::bf16) {
        find_mean_keys<__nv_bfloat16><<<key_blocks, k_mean_threads, 0, stream>>>(p);
    } else {
        find_mean_keys<__half><<<key_blocks, k_mean_threads, 0, stream>>>(p);
    }
    find_mean_probes<<<n_head, k_mean_threads, 0, stream>>>(p);
    find_patterns<<<n_head, k_pattern_threads, 0, stream>>>(p);
    keep_lines<<<dim3(n_head, 2), k_largest_threads, 0, stream>>>(p);
    write_line_bits(p.shape, p.lines, rows.bits, stream);
    find_mean_rows<<<dim3(std::min(n_tiles, k_row_blocks), n_head), k_mean_threads, 0, stream>>>(p);
    find_scores<<<dim3((n_tiles + k_score_tiles - 1) / k_score_tiles, n_head), k_flex_threads, 0, stream>>>(p);
    keep_scores<<<n_head, k_largest_threads, 0, stream>>>(p);
    add_kept_scores<<<word_blocks(p.shape.total_words()), k_word_threads, 0, stream>>>(p, rows.bits);
    return launched("flexprefill");
}

}  // namespace

int64_t cuda_flexprefill_bytes(const selection_rule &, const attention_args & args,
                               std::span<const cuda_selected_rows> rows) noexcept {
    return most_bytes(rows, [&](const bitmap_shape & shape) {
        flex_params places{};
        return lay_out(shape, args.n_head_kv, args.d_qk, nullptr, places);
    });
}

status cuda_select_flexprefill(const selection_rule & rule, const cuda_selection_call & call) {
    const flexprefill_values values = flexprefill_of(rule);
    for (const cuda_selected_rows & rows : call.rows) {
        if (status s = select_rows(values, call, rows); !s.ok()) {
            return s;
        }
    }
    return {};
}

}  // namespace tmx
