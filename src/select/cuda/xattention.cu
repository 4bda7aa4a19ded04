// Method "xattention" (select/xattention.h): groups of queries and of keys packed into rows of depth stride x d, their
// products (group_products.cuh), from what these leave the masses of blocks, bits. docs/selection.md.
#include "select/xattention.h"

#include <cmath>
#include <vector>

#include "select/cuda/group_packs.cuh"
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

template <typename T>
__global__ void __launch_bounds__(k_pack_threads) pack_queries_kernel(const __grid_constant__ pack_params p) {
    cuda::pack_queries<T, 1>(p, blockIdx.x, blockIdx.y, static_cast<int32_t>(threadIdx.x), k_pack_threads);
}

__global__ void __launch_bounds__(k_pack_threads) pack_keys_kernel(const __grid_constant__ pack_params p) {
    cuda::pack_keys(p, blockIdx.x, blockIdx.y, static_cast<int32_t>(threadIdx.x), k_pack_threads);
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
    const auto stretch_blocks = static_cast<int32_t>(k_stretch * p.stride / k_bitmap_keys);
    const float * parts = p.parts + first_row * p.row_blocks;
    float * masses = p.masses + (head * p.part.n_tiles + tile) * p.row_blocks;
    // Two blocks of one stretch at a time; a row of parts, and of masses, has an even number.
    for (auto block = static_cast<int32_t>(threadIdx.x) * 2; block < n_blocks; block += k_mass_threads * 2) {
        const int32_t stretch = block / stretch_blocks;
        // Groups before this one see none of the stretch. Of a stretch that a group sees, blocks that it does not see
        // have a part of 0.
        const auto first = static_cast<int32_t>(larger(int64_t{stretch} * k_stretch - groups.begin, 0));
        const float2 * from = stretches + stretch;
        float2 mass = make_float2(0, 0);
#pragma unroll 8
        for (int32_t i = first; i < n_groups; ++i) {
            const float most = from[i * p.n_stretches].x;
            const float2 part = *reinterpret_cast<const float2 *>(parts + i * p.row_blocks + block);
            const float factor = ptx::exp2(most - largest[i]) * share[i];
            mass.x = fmaf(part.x, factor, mass.x);
            mass.y = fmaf(part.y, factor, mass.y);
        }
        *reinterpret_cast<float2 *>(masses + block) = mass;
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

// Of one tile.
template <class source>
__device__ void pick_blocks_of_tile(const pick_params & p, index_range rows, source masses, uint32_t * bits) {
    const int lane = static_cast<int>(threadIdx.x) % k_warp;
    const auto n_words = static_cast<int32_t>(p.shape.n_words());
    const auto n = static_cast<int32_t>(blocks_of(rows).end);
    const bool by_share = p.values.keep > 0;
    const bool without_sink = !by_share && loses_sink_mark(p.values, p.shape.ranks, rows);

    float all = 0;
    float forced_mass = 0;
    int32_t n_forced = 0;
    masses.change_each_word([&](int32_t word, float & mass) {
        const uint32_t forced = mandatory_bits(rows, word) & ~(without_sink && word == 0 ? 1u : 0u);
        n_forced += __popc(forced);
        if (word * k_warp + lane < n) {
            const bool is_forced = (forced >> lane & 1) != 0;
            all += mass;
            forced_mass += is_forced ? mass : 0.0f;
            mass = is_forced ? k_no_score : mass;
        }
    });
    all = warp_sum(all);
    forced_mass = warp_sum(forced_mass);

    const bool keeps_all =
        !(all < INFINITY) || (!by_share && (wants_all(p.values.tau) || too_short_to_select(p.values, rows)));
    for (int32_t word = lane; word < n_words; word += k_warp) {
        bits[word] = keeps_all ? visible_bits(rows, word) : mandatory_bits(rows, word);
    }
    if (keeps_all) {
        return;
    }
    cut chosen = by_share ? find_cut<false>(masses, static_cast<int32_t>(kept_blocks(p.values.keep, n) - n_forced))
                          : find_cut<true>(masses, static_cast<float>(p.values.tau) * all - forced_mass);
    if (without_sink) {
        chosen = find_cut<false>(masses, kept_by(chosen, masses) + 1);
    }
    add_kept(masses, chosen, n, bits);
}

// A warp a tile.
template <bool k_held>
__global__ void __launch_bounds__(k_pick_threads, 6) pick_kernel(const __grid_constant__ pick_params p) {
    picked_tile at;
    if (!tile_of_warp(p.part, at)) {
        return;
    }
    const index_range rows = p.shape.rows_of(at.tile);
    const auto n = static_cast<int32_t>(blocks_of(rows).end);
    float * masses = p.masses + at.number * p.row_blocks;
    uint32_t * bits = p.bits + p.shape.first_word(at.head, at.tile);
    if constexpr (k_held) {
        pick_blocks_of_tile(p, rows, held_scores(masses, n), bits);
    } else {
        pick_blocks_of_tile(p, rows, stored_scores{masses, n}, bits);
    }
}

constexpr int k_query_buffers = 2;  // a wave's queries may be packed while those before are multiplied

// Where the parts of a segment's workspace lie.
struct group_layout {
    wave_size waves;
    int64_t q_rows, k_rows;
    int64_t row_blocks;
    int64_t q[k_query_buffers];
    int64_t k, stretches, parts, masses;
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
    const int64_t tile_bytes = tile_groups * (k_query_buffers * row_bytes + result_bytes) + l.row_blocks * 4;
    l.waves = wave_size::of(args.n_head_kv, shape.n_tiles(), group * tile_bytes);
    const int64_t n_heads_kv = l.waves.n_heads;
    l.waves.n_heads *= group;
    // Where tiles do not begin with a group, they have a part of one more.
    l.q_rows = rounded_up(l.waves.n_tiles * tile_groups + 1, k_pair_rows);
    workspace_layout all;
    for (int64_t & q : l.q) {
        q = all.take(l.waves.n_heads * l.q_rows * row_bytes);
    }
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
        std::vector<wave> parts;
        (void)for_each_wave(layout_.waves, args_.n_head, rows_.shape.n_tiles(), [&](const wave & part) {
            parts.push_back(part);
            return status();
        });
        bool in_place = false;
        status result = launched(reads_groups_in_place(args_.d_qk, in_place), "the device's architecture");
        in_place = in_place && rows_.shape.ranks.end % values_.stride == 0;
        bool queries_packed = false;
        for (size_t i = 0; i < parts.size() && result.ok(); ++i) {
            const wave & part = parts[i];
            if (part.tile_begin == 0 && !in_place) {
                result = pack_keys(part);
            }
            if (result.ok() && !queries_packed) {
                result = pack_queries(packs_of_queries(part, i));
            }
            if (result.ok()) {
                const bool last = i + 1 == parts.size();
                group_params products = products_of(part, i);
                if (in_place) {
                    products.in_place = groups_of_keys(part);
                }
                products.next = last ? pack_params{} : packs_of_queries(parts[i + 1], i + 1);
                result = group_products(products, part.n_heads, is_bf16(), stream_, queries_packed);
            }
            if (result.ok()) {
                result = pick(part, groups_of_wave(part));
            }
        }
        return result;
    }

  private:
    index_range groups_of_wave(const wave & part) const {
        const int64_t first = rows_.shape.rows_of(part.tile_begin).begin;
        const int64_t last = rows_.shape.rows_of(part.tile_begin + part.n_tiles - 1).end;
        return groups_of({first, last}, values_.stride);
    }
    uint8_t * query_buffer(size_t number) const { return workspace_ + layout_.q[number % k_query_buffers]; }

    // number: of the wave.
    pack_params packs_of_queries(const wave & part, size_t number) const {
        const query_rows queries = queries_of(args_, rows_);
        return {queries.data,
                queries.stride_head,
                queries.stride_row,
                rows_.shape.ranks.begin,
                rows_.shape.ranks,
                groups_of_wave(part),
                part.head_begin,
                part.n_heads,
                query_buffer(number),
                layout_.q_rows,
                static_cast<int32_t>(values_.stride),
                static_cast<int32_t>(args_.d_qk),
                args_.scale < 0 ? -1.0f : 1.0f,
                queries.by_16};
    }
    status pack_queries(const pack_params & q) {
        const dim3 grid(static_cast<unsigned>(q.groups.size()), static_cast<unsigned>(q.n_heads));
        if (is_bf16()) {
            pack_queries_kernel<__nv_bfloat16><<<grid, k_pack_threads, 0, stream_>>>(q);
        } else {
            pack_queries_kernel<__half><<<grid, k_pack_threads, 0, stream_>>>(q);
        }
        return launched("packing queries");
    }

    // For all waves of these heads.
    status pack_keys(const wave & part) {
        const int64_t group = args_.n_head / args_.n_head_kv;
        const key_rows keys = keys_of(args_, rows_);
        const int64_t n_ranks = rows_.shape.ranks.end;
        const index_range groups = groups_of({0, n_ranks}, values_.stride);
        const pack_params k{keys.data,
                            keys.stride_head,
                            keys.stride_row,
                            0,
                            {0, n_ranks},
                            groups,
                            part.head_begin / group,
                            part.n_heads / group,
                            workspace_ + layout_.k,
                            layout_.k_rows,
                            static_cast<int32_t>(values_.stride),
                            static_cast<int32_t>(args_.d_qk),
                            1,
                            true};
        const dim3 grid(static_cast<unsigned>(groups.end), static_cast<unsigned>(k.n_heads));
        pack_keys_kernel<<<grid, k_pack_threads, 0, stream_>>>(k);
        return launched("packing keys");
    }

    groups_in_place groups_of_keys(const wave & part) const {
        const key_rows keys = keys_of(args_, rows_);
        const int64_t head = part.head_begin / (args_.n_head / args_.n_head_kv);
        return {static_cast<const uint16_t *>(keys.data) + head * keys.stride_head, keys.stride_head, keys.stride_row,
                rows_.shape.ranks.end / values_.stride, args_.d_qk};
    }

    group_params products_of(const wave & part, size_t number) const {
        constexpr float k_log2_e = 1.44269504088896f;
        return {query_buffer(number),
                workspace_ + layout_.k,
                reinterpret_cast<float2 *>(workspace_ + layout_.stretches),
                reinterpret_cast<float *>(workspace_ + layout_.parts),
                layout_.q_rows,
                layout_.k_rows,
                layout_.k_rows / k_stretch,
                layout_.row_blocks,
                values_.stride * args_.d_qk,
                groups_of_wave(part),
                rows_.shape.ranks,
                part.head_begin,
                static_cast<int32_t>(args_.n_head / args_.n_head_kv),
                std::fabs(args_.scale) * k_log2_e,
                values_,
                {},
                {}};
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
        const pick_params picked{rows_.shape, rows_.bits, masses, layout_.row_blocks, part, values_};
        if (layout_.row_blocks <= held_scores::k_most) {
            pick_kernel<true><<<pick_blocks(part), k_pick_threads, 0, stream_>>>(picked);
        } else {
            pick_kernel<false><<<pick_blocks(part), k_pick_threads, 0, stream_>>>(picked);
        }
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
