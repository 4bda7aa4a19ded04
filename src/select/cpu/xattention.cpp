#include "select/xattention.h"

#include <omp.h>

#include <algorithm>
#include <cmath>

#include "select/cpu/choose_blocks.h"
#include "select/cpu/kernel.h"
#include "select/cpu/thread_memory.h"
#include "select/methods.h"

namespace tmx {
namespace {

using namespace select_cpu;

// Rows of an item's products, about: their queries, d_qk * stride numbers each, are to stay near, and every panel of
// keys that is read serves all of them.
constexpr int64_t k_item_rows = 96;

struct xattention_scratch {
    group_scratch groups;
    float * masses;   // [blocks] of one tile
    int32_t * order;  // [blocks]
};

class xattention_call {
  public:
    xattention_call(const xattention_values & values, const cpu_selection_call & call, const kernel & steps,
                    block_bitmap & bits)
        : values_(values),
          rows_{call.args, call.segment},
          steps_(steps),
          fast_(call.options.arithmetic == precision::fast && steps.group_sums_fast != nullptr),
          n_threads_(call.n_threads),
          bits_(bits),
          n_key_groups_(groups_of({0, rows_.ranks().end}, values.stride).end),
          n_spans_((n_key_groups_ + k_span - 1) / k_span) {
        const int64_t tile_groups = k_bitmap_rows / values.stride;
        heads_together_ = std::clamp<int64_t>(k_item_rows / tile_groups, 1, rows_.group());
        tiles_together_ = std::max<int64_t>(1, k_item_rows / (tile_groups * heads_together_));
    }

    void run() {
        const int64_t depth = values_.stride * rows_.args.d_qk;
        cpu_base::scratch_block memory;
        memory.reserve(static_cast<size_t>(padded_columns(n_key_groups_) * depth) * sizeof(float));
        panels_ = reinterpret_cast<float *>(memory.get());
        const int64_t head_parts = (rows_.group() + heads_together_ - 1) / heads_together_;
        const int64_t tile_parts = (bits_.shape.n_tiles() + tiles_together_ - 1) / tiles_together_;
        const int64_t n_items = head_parts * tile_parts;
        const int64_t n_panels = padded_columns(n_key_groups_) / k_panel_columns;
        const int32_t n_workers = useful_threads(n_threads_, std::max(n_items, n_panels));
        const thread_memory scratch(n_workers, [&](cpu_base::carver & pieces) { return carve(pieces); });
        for (int64_t key_head = 0; key_head < rows_.args.n_head_kv; ++key_head) {
#pragma omp parallel num_threads(n_workers) default(none) shared(key_head, head_parts, n_items, n_panels, scratch)
            {
                alignas(64) float convert[k_convert_floats];
#pragma omp for schedule(dynamic, 1)
                for (int64_t panel = 0; panel < n_panels; ++panel) {
                    (fast_ ? steps_.pack_groups_fast : steps_.pack_groups)(rows_, key_head, values_.stride,
                                                                           panel * k_panel_columns, convert, panels_);
                }
                // The last tiles see most: they come first.
#pragma omp for schedule(dynamic, 1)
                for (int64_t item = n_items - 1; item >= 0; --item) {
                    score_tiles(key_head, item % head_parts * heads_together_, item / head_parts * tiles_together_,
                                scratch.of_thread(omp_get_thread_num()));
                }
            }
        }
    }

  private:
    int64_t blocks_of_span() const {
        return k_span * values_.stride / k_bitmap_keys;
    }

    xattention_scratch carve(cpu_base::carver & pieces) const {
        // Tiles that do not begin on the grid have a group more.
        const int64_t n_rows = (tiles_together_ * k_bitmap_rows / values_.stride + 1) * heads_together_;
        const int64_t n_blocks = n_spans_ * blocks_of_span();
        xattention_scratch s;
        s.groups.q = pieces.take<float>(n_rows * values_.stride * rows_.args.d_qk);
        s.groups.logits = pieces.take<float>(n_rows * k_span);
        s.groups.sums = pieces.take<float>(n_rows * n_blocks);
        s.groups.maxima = pieces.take<float>(n_rows * n_spans_);
        s.groups.factors = pieces.take<float>(n_rows);
        s.groups.n_spans = n_spans_;
        s.masses = pieces.take<float>(n_blocks);
        s.order = pieces.take<int32_t>(n_blocks);
        return s;
    }

    void score_tiles(int64_t key_head, int64_t head_part, int64_t first_tile, const xattention_scratch & scratch) {
        const int64_t end_tile = smaller(first_tile + tiles_together_, bits_.shape.n_tiles());
        const int64_t first_head = key_head * rows_.group() + head_part;
        const int64_t end_head = smaller(first_head + heads_together_, (key_head + 1) * rows_.group());
        const index_range positions{bits_.shape.rows_of(first_tile).begin, bits_.shape.rows_of(end_tile - 1).end};
        const group_item item{rows_,   values_,      groups_of(positions, values_.stride), {first_head, end_head},
                              panels_, n_key_groups_};
        (fast_ ? steps_.group_sums_fast : steps_.group_sums)(item, scratch.groups);
        for (int64_t tile = first_tile; tile < end_tile; ++tile) {
            for (int64_t head = first_head; head < end_head; ++head) {
                choose(item, head, tile, scratch);
            }
        }
    }

    void choose(const group_item & item, int64_t head, int64_t tile, const xattention_scratch & scratch) {
        const index_range tile_rows = bits_.shape.rows_of(tile);
        const auto n_blocks = static_cast<size_t>(blocks_of(tile_rows).end);
        std::fill_n(scratch.masses, n_blocks, 0.0f);
        const index_range groups = groups_of(tile_rows, values_.stride);
        for (int64_t group = groups.begin; group < groups.end; ++group) {
            const int64_t m = (group - item.groups.begin) * item.heads.size() + head - item.heads.begin;
            add_masses(scratch.groups, m, group, scratch.masses);
        }
        const scored_tile scored{
            tile_rows, {scratch.masses, n_blocks}, {scratch.order, n_blocks}, bits_.of(head, tile)};
        for (int64_t word = 0; word * k_word_bits < scored.n_visible(); ++word) {
            scored.words[word] = mandatory_bits(tile_rows, word);
        }
        if (values_.keep > 0) {
            keep_share(scored, values_.keep);
        } else if (too_short_to_select(values_, tile_rows)) {
            keep_all(scored);
        } else {
            keep_until_mass(scored, values_.tau, loses_sink_mark(values_, rows_.ranks(), tile_rows));
        }
    }

    // Adds what row m, the queries of `group`, gives to each block: 1 in all.
    void add_masses(const group_scratch & scratch, int64_t m, int64_t group, float * masses) const {
        const float * maxima = scratch.maxima + m * n_spans_;
        const float * sums = scratch.sums + m * n_spans_ * blocks_of_span();
        const int64_t n_spans = group / k_span + 1;
        const int64_t n_blocks = group * values_.stride / k_bitmap_keys + 1;
        const float largest = *std::max_element(maxima, maxima + n_spans);
        float factor = 0;  // of the span
        float total = 0;
        for (int64_t block = 0; block < n_blocks; ++block) {
            const bool begins = block % blocks_of_span() == 0;
            factor = begins ? std::exp2(maxima[block / blocks_of_span()] - largest) : factor;
            total += factor * sums[block];
        }
        for (int64_t block = 0; block < n_blocks; ++block) {
            const bool begins = block % blocks_of_span() == 0;
            factor = begins ? std::exp2(maxima[block / blocks_of_span()] - largest) / total : factor;
            masses[block] += factor * sums[block];
        }
    }

    const xattention_values & values_;
    const layer_rows rows_;
    const kernel & steps_;
    const bool fast_;
    const int32_t n_threads_;
    block_bitmap & bits_;
    const int64_t n_key_groups_;
    const int64_t n_spans_;
    int64_t heads_together_ = 1;  // of an item
    int64_t tiles_together_ = 1;
    float * panels_ = nullptr;  // of the current key head's groups
};

}  // namespace

status select_xattention(const selection_rule & rule, const cpu_selection_call & call, block_bitmap & bits) {
    const xattention_values values = xattention_of(rule);
    const kernel * steps = nullptr;
    if (status s = choose_kernel(call.options.kernel, steps); !s.ok()) {
        return s;
    }
    xattention_call(values, call, *steps, bits).run();
    return {};
}

}  // namespace tmx
