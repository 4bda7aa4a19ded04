// Method "xattention" (select/xattention.h): groups of queries and of keys packed into rows of depth stride x d, their
// products (group_products.cuh), from what these leave the masses of blocks, bits. docs/selection.md.
#include "select/xattention.h"

#include <cmath>

#include "select/cuda/group_products.cuh"
#include "select/cuda/group_products.h"
#include "select/cuda/launches.h"
#include "select/cuda/operands.h"
#include "select/cuda/pick.cuh"
#include "select/methods.h"

namespace tmx {
namespace {

using namespace cuda;

constexpr int k_pack_threads = 256;

struct pack_params {
    const void * from;  // [head][rank - first_rank][d]
    int64_t stride_head, stride_row;
    int64_t first_rank;
    index_range ranks;  // of which there are elements; the others become zeros
    index_range groups;
    int64_t head_begin;
    void * to;  // [head - head_begin][n_rows][stride][d]
    int64_t n_rows;
    int32_t stride;
    int32_t d;
    float sign;
    bool by_16;
};

// A thread block a group and head; a thread 8 elements. Queries lie from the group's last position to its first.
template <typename T>
__global__ void __launch_bounds__(k_pack_threads) pack_queries_kernel(const __grid_constant__ pack_params p) {
    const int32_t n_chunks = p.d / 8;
    const float * head = static_cast<const float *>(p.from) + (p.head_begin + blockIdx.y) * p.stride_head;
    auto * to = static_cast<uint4 *>(p.to) + (blockIdx.y * p.n_rows + blockIdx.x) * p.stride * n_chunks;
    const int64_t last = (p.groups.begin + blockIdx.x + 1) * p.stride - 1;
    for (auto i = static_cast<int32_t>(threadIdx.x); i < p.stride * n_chunks; i += k_pack_threads) {
        const int64_t rank = last - i / n_chunks;
        float values[8] = {};
        if (rank >= p.ranks.begin && rank < p.ranks.end) {
            const float * source = head + (rank - p.first_rank) * p.stride_row + i % n_chunks * 8;
            if (p.by_16) {
                *reinterpret_cast<float4 *>(values) = __ldg(reinterpret_cast<const float4 *>(source));
                *reinterpret_cast<float4 *>(values + 4) = __ldg(reinterpret_cast<const float4 *>(source + 4));
            } else {
#pragma unroll
                for (int j = 0; j < 8; ++j) {
                    values[j] = __ldg(source + j);
                }
            }
        }
        uint32_t pairs[4];
#pragma unroll
        for (int j = 0; j < 4; ++j) {
            pairs[j] = ptx::pack<T>(values[j * 2] * p.sign, values[j * 2 + 1] * p.sign);
        }
        to[i] = make_uint4(pairs[0], pairs[1], pairs[2], pairs[3]);
    }
}

__global__ void __launch_bounds__(k_pack_threads) pack_keys_kernel(const __grid_constant__ pack_params p) {
    const int32_t n_chunks = p.d / 8;
    const uint16_t * head = static_cast<const uint16_t *>(p.from) + (p.head_begin + blockIdx.y) * p.stride_head;
    auto * to = static_cast<uint4 *>(p.to) + (blockIdx.y * p.n_rows + blockIdx.x) * p.stride * n_chunks;
    const int64_t first = (p.groups.begin + blockIdx.x) * p.stride;
    for (auto i = static_cast<int32_t>(threadIdx.x); i < p.stride * n_chunks; i += k_pack_threads) {
        const int64_t rank = first + i / n_chunks;
        to[i] = make_uint4(0, 0, 0, 0);
        if (rank < p.ranks.end) {
            const uint16_t * source = head + (rank - p.first_rank) * p.stride_row + i % n_chunks * 8;
            to[i] = __ldg(reinterpret_cast<const uint4 *>(source));
        }
    }
}

struct mass_params {
    bitmap_shape shape;
    wave part;
    index_range groups;  // of the wave's queries
    const float2 * stretches;
    const float * parts;
    float * masses;  // [head of the wave][tile of the wave][row_blocks]
    int64_t q_rows;
    int64_t n_stretches;
    int64_t row_blocks;
    int32_t stride;
};

constexpr int k_mass_threads = 128;
constexpr int k_tile_groups = k_bitmap_rows / 4 + 1;  // at most: the least stride is 4

// A thread block a tile: masses of its blocks, over the groups that hold one of its rows.
__global__ void __launch_bounds__(k_mass_threads) mass_kernel(const __grid_constant__ mass_params p) {
    __shared__ float largest[k_tile_groups];  // of a group, over all stretches; in base 2
    __shared__ float share[k_tile_groups];    // 1 / sum of its weights
    const int64_t head = blockIdx.x % p.part.n_heads;
    const int64_t tile = blockIdx.x / p.part.n_heads;
    const index_range rows = p.shape.rows_of(p.part.tile_begin + tile);
    const index_range groups = groups_of(rows, p.stride);
    const auto n_groups = static_cast<int32_t>(groups.size());
    const int64_t first_row = head * p.q_rows + groups.begin - p.groups.begin;
    const float2 * stretches = p.stretches + first_row * p.n_stretches;
    const int lane = static_cast<int>(threadIdx.x) % k_warp;
    for (int32_t i = static_cast<int32_t>(threadIdx.x) / k_warp; i < n_groups; i += k_mass_threads / k_warp) {
        const float2 * row = stretches + i * p.n_stretches;
        const auto n = static_cast<int32_t>((groups.begin + i) / k_stretch + 1);
        float most = -INFINITY;
        for (int32_t s = lane; s < n; s += k_warp) {
            most = fmaxf(most, row[s].x);
        }
        most = warp_max(most);
        float sum = 0;
        for (int32_t s = lane; s < n; s += k_warp) {
            sum += row[s].y * ptx::exp2(row[s].x - most);
        }
        sum = warp_sum(sum);
        if (lane == 0) {
            largest[i] = most;
            share[i] = 1 / sum;
        }
    }
    __syncthreads();
    const auto n_blocks = static_cast<int32_t>(blocks_of(rows).end);
    const auto block_columns = static_cast<int32_t>(k_bitmap_keys / p.stride);
    float * masses = p.masses + (head * p.part.n_tiles + tile) * p.row_blocks;
    for (auto block = static_cast<int32_t>(threadIdx.x); block < n_blocks; block += k_mass_threads) {
        const int64_t column = int64_t{block} * block_columns;
        const int64_t stretch = column / k_stretch;
        float mass = 0;
#pragma unroll 4
        for (int32_t i = 0; i < n_groups; ++i) {
            if (column <= groups.begin + i) {
                const float weight = ptx::exp2(stretches[i * p.n_stretches + stretch].x - largest[i]) * share[i];
                mass = fmaf(p.parts[(first_row + i) * p.row_blocks + block], weight, mass);
            }
        }
        masses[block] = mass;
    }
}

struct pick_params {
    bitmap_shape shape;
    uint32_t * bits;
    float * masses;
    int64_t row_blocks;
    wave part;
    xattention_values values;
};

// A warp a tile.
__global__ void __launch_bounds__(k_pick_threads) pick_kernel(const __grid_constant__ pick_params p) {
    picked_tile at;
    if (!tile_of_warp(p.part, at)) {
        return;
    }
    const int lane = static_cast<int>(threadIdx.x) % k_warp;
    const index_range rows = p.shape.rows_of(at.tile);
    const auto n_words = static_cast<int32_t>(p.shape.n_words());
    const auto n = static_cast<int32_t>(blocks_of(rows).end);
    float * masses = p.masses + at.number * p.row_blocks;
    const bool by_share = p.values.keep > 0;
    const bool without_sink = !by_share && loses_sink_mark(p.values, p.shape.ranks, rows);

    float all = 0;
    float forced_mass = 0;
    int32_t n_forced = 0;
    for (int32_t word = 0; word * k_warp < n; ++word) {
        const uint32_t forced = mandatory_bits(rows, word) & ~(without_sink && word == 0 ? 1u : 0u);
        n_forced += __popc(forced);
        const int32_t block = word * k_warp + lane;
        if (block < n) {
            const float mass = masses[block];
            const bool is_forced = (forced >> lane & 1) != 0;
            all += mass;
            forced_mass += is_forced ? mass : 0.0f;
            masses[block] = is_forced ? k_no_score : mass;
        }
    }
    all = warp_sum(all);
    forced_mass = warp_sum(forced_mass);

    cut chosen = cut_of_all();
    if (!(all < INFINITY)) {
        make_equal(masses, n);
    } else if (by_share) {
        chosen = find_cut<false>(masses, n, static_cast<int32_t>(kept_blocks(p.values.keep, n) - n_forced));
    } else if (!wants_all(p.values.tau) && !too_short_to_select(p.values, rows)) {
        chosen = find_cut<true>(masses, n, static_cast<float>(p.values.tau) * all - forced_mass);
        if (without_sink) {
            chosen = find_cut<false>(masses, n, kept_by(chosen, masses, n) + 1);
        }
    }
    uint32_t * bits = p.bits + p.shape.first_word(at.head, at.tile);
    cut_words words(chosen, masses, n);
    for (int32_t word = 0; word < n_words; ++word) {
        const uint32_t kept = words.next() | mandatory_bits(rows, word);
        if (lane == 0) {
            bits[word] = kept;
        }
    }
}

// Where the parts of a segment's workspace lie.
struct group_layout {
    wave_size waves;
    int64_t q_rows, k_rows;
    int64_t row_blocks;
    int64_t q, k, stretches, parts, masses;
    int64_t bytes;
};

constexpr int64_t rounded_up(int64_t n, int64_t step) {
    return (n + step - 1) / step * step;
}

group_layout layout_of(const xattention_values & values, const attention_args & args, const bitmap_shape & shape) {
    group_layout l;
    const int64_t tile_groups = k_bitmap_rows / values.stride;
    const int64_t group = args.n_head / args.n_head_kv;
    l.k_rows = rounded_up(groups_of(shape.ranks, values.stride).end, k_group_columns);
    // A tile of products writes all of its blocks.
    l.row_blocks = rounded_up(shape.n_words() * k_word_bits, k_group_columns / tile_groups);
    const int64_t row_bytes = values.stride * args.d_qk * 2;
    const int64_t result_bytes = l.row_blocks * 4 + l.k_rows / k_stretch * 8;
    l.waves = wave_size::of(args.n_head, shape.n_tiles(), tile_groups * (row_bytes + result_bytes) + l.row_blocks * 4);
    if (l.waves.n_heads > group) {
        l.waves.n_heads -= l.waves.n_heads % group;
    }
    // Where tiles do not begin with a group, they have a part of one more.
    l.q_rows = rounded_up(l.waves.n_tiles * tile_groups + 1, k_pair_rows);
    const int64_t n_heads_kv = smaller((l.waves.n_heads + group - 1) / group + 1, args.n_head_kv);
    workspace_layout all;
    l.q = all.take(l.waves.n_heads * l.q_rows * row_bytes);
    l.k = all.take(n_heads_kv * l.k_rows * row_bytes);
    l.stretches = all.take(l.waves.n_heads * l.q_rows * (l.k_rows / k_stretch) * 8);
    l.parts = all.take(l.waves.n_heads * l.q_rows * l.row_blocks * 4);
    l.masses = all.take(l.waves.n_rows() * l.row_blocks * 4);
    l.bytes = all.bytes();
    return l;
}

// Of one segment: what its waves go through.
class group_selection {
  public:
    group_selection(const xattention_values & values, const cuda_selection_call & call, const cuda_selected_rows & rows)
        : values_(values),
          args_(call.args),
          rows_(rows),
          stream_(static_cast<cudaStream_t>(call.stream)),
          layout_(layout_of(values, call.args, rows.shape)),
          workspace_(static_cast<uint8_t *>(call.workspace)) {}

    status run() {
        return for_each_wave(layout_.waves, args_.n_head, rows_.shape.n_tiles(), [&](const wave & part) {
            const int64_t first = rows_.shape.rows_of(part.tile_begin).begin;
            const int64_t last = rows_.shape.rows_of(part.tile_begin + part.n_tiles - 1).end;
            const index_range groups = groups_of({first, last}, values_.stride);
            status result = pack(part, groups);
            if (result.ok()) {
                result = multiply(part, groups);
            }
            return result.ok() ? pick(part, groups) : result;
        });
    }

  private:
    status pack(const wave & part, index_range groups) {
        const int64_t group = args_.n_head / args_.n_head_kv;
        const index_range heads_kv = {part.head_begin / group, (part.head_begin + part.n_heads - 1) / group + 1};
        const query_rows queries = queries_of(args_, rows_);
        const key_rows keys = keys_of(args_, rows_);
        const auto stride = static_cast<int32_t>(values_.stride);
        const auto d = static_cast<int32_t>(args_.d_qk);
        const pack_params q{queries.data,
                            queries.stride_head,
                            queries.stride_row,
                            rows_.shape.ranks.begin,
                            rows_.shape.ranks,
                            groups,
                            part.head_begin,
                            workspace_ + layout_.q,
                            layout_.q_rows,
                            stride,
                            d,
                            args_.scale < 0 ? -1.0f : 1.0f,
                            queries.by_16};
        const pack_params k{keys.data,
                            keys.stride_head,
                            keys.stride_row,
                            0,
                            {0, rows_.shape.ranks.end},
                            {0, groups.end},
                            heads_kv.begin,
                            workspace_ + layout_.k,
                            layout_.k_rows,
                            stride,
                            d,
                            1,
                            true};
        const dim3 q_grid(static_cast<unsigned>(groups.size()), static_cast<unsigned>(part.n_heads));
        if (is_bf16()) {
            pack_queries_kernel<__nv_bfloat16><<<q_grid, k_pack_threads, 0, stream_>>>(q);
        } else {
            pack_queries_kernel<__half><<<q_grid, k_pack_threads, 0, stream_>>>(q);
        }
        if (status s = launched("packing queries"); !s.ok()) {
            return s;
        }
        const dim3 k_grid(static_cast<unsigned>(groups.end), static_cast<unsigned>(heads_kv.size()));
        pack_keys_kernel<<<k_grid, k_pack_threads, 0, stream_>>>(k);
        return launched("packing keys");
    }

    status multiply(const wave & part, index_range groups) {
        constexpr float k_log2_e = 1.44269504088896f;
        const group_params p{workspace_ + layout_.q,
                             workspace_ + layout_.k,
                             reinterpret_cast<float2 *>(workspace_ + layout_.stretches),
                             reinterpret_cast<float *>(workspace_ + layout_.parts),
                             layout_.q_rows,
                             layout_.k_rows,
                             layout_.k_rows / k_stretch,
                             layout_.row_blocks,
                             values_.stride * args_.d_qk,
                             groups,
                             rows_.shape.ranks,
                             part.head_begin,
                             static_cast<int32_t>(args_.n_head / args_.n_head_kv),
                             std::fabs(args_.scale) * k_log2_e,
                             values_};
        return group_products(p, part.n_heads, is_bf16(), stream_);
    }

    status pick(const wave & part, index_range groups) {
        auto * masses = reinterpret_cast<float *>(workspace_ + layout_.masses);
        const mass_params mass{rows_.shape,
                               part,
                               groups,
                               reinterpret_cast<const float2 *>(workspace_ + layout_.stretches),
                               reinterpret_cast<const float *>(workspace_ + layout_.parts),
                               masses,
                               layout_.q_rows,
                               layout_.k_rows / k_stretch,
                               layout_.row_blocks,
                               static_cast<int32_t>(values_.stride)};
        mass_kernel<<<static_cast<unsigned>(part.n_heads * part.n_tiles), k_mass_threads, 0, stream_>>>(mass);
        if (status s = launched("masses of blocks"); !s.ok()) {
            return s;
        }
        pick_kernel<<<pick_blocks(part), k_pick_threads, 0, stream_>>>(
            {rows_.shape, rows_.bits, masses, layout_.row_blocks, part, values_});
        return launched("picking blocks");
    }

    bool is_bf16() const { return args_.k_type == dtype::bf16; }

    const xattention_values values_;
    const attention_args & args_;
    const cuda_selected_rows & rows_;
    const cudaStream_t stream_;
    const group_layout layout_;
    uint8_t * const workspace_;
};

}  // namespace

int64_t cuda_xattention_workspace_bytes(const selection_rule & rule, const attention_args & args,
                                        std::span<const cuda_selected_rows> rows) noexcept {
    return most_bytes(rows,
                      [&](const bitmap_shape & shape) { return layout_of(xattention_of(rule), args, shape).bytes; });
}

status cuda_select_xattention(const selection_rule & rule, const cuda_selection_call & call) {
    for (const cuda_selected_rows & rows : call.rows) {
        if (status s = group_selection(xattention_of(rule), call, rows).run(); !s.ok()) {
            return s;
        }
    }
    return {};
}

}  // namespace tmx
