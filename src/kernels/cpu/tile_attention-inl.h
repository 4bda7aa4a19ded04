// The attention algorithm, once for every instruction set and pattern: a work item (some rows of one segment, all query
// heads of one key head) goes along its walk, in tiles of keys. Each tile is decoded and packed once; then blocks
// of k_gemm_rows rows take logits, weights and outputs from it while they sit in L1 and registers. Included once per
// target.

#if defined(TMX_TILE_ATTENTION_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef TMX_TILE_ATTENTION_INL_H
#undef TMX_TILE_ATTENTION_INL_H
#else
#define TMX_TILE_ATTENTION_INL_H
#endif

#include <algorithm>
#include <cmath>
#include <cstring>

#include "hwy/highway.h"
#include "kernels/cpu/kernel_args.h"
#include "kernels/cpu/pack-inl.h"
#include "kernels/cpu/product-inl.h"
#include "kernels/cpu/softmax-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tmx::cpu {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

template <bool fast>
class item_runner {
  public:
    item_runner(const attention_args & args, const attention_segment & segment, const work_item & item,
                const thread_scratch & scratch)
        : args_(args),
          segment_(segment),
          place_(item.place),
          walk_(item.walk),
          scratch_(scratch),
          n_heads_(place_.head_end - place_.head_begin),
          n_rows_(place_.packed_rows()),
          first_rank_(segment.rank_begin + place_.row_begin - segment.row_begin) {
        logits_.plain = args.scale > 0 && !(args.logit_softcap > 0) && !segment.masked;
        logits_.factor = logits_.plain ? args.scale * k_log2e : k_log2e;
        logits_.scale = args.scale;
        logits_.softcap = args.logit_softcap;
        skips_ = args.skip_factor > 0 && !segment.masked;
        if (skips_) {
            const float n_keys = static_cast<float>(first_rank_ + place_.row_end - place_.row_begin);
            skip_below_ = args.skip_factor < n_keys ? std::log2(args.skip_factor / n_keys) : k_minus_infinity;
        }
    }

    skip_counts run() {
        load_queries();
        std::fill_n(scratch_.row_max, n_rows_, k_minus_infinity);
        std::fill_n(scratch_.row_sum, n_rows_, 0.0f);
        std::fill_n(scratch_.out, n_rows_ * args_.d_v, 0.0f);
        if (skips_) {
            visit_backwards();
        } else {
            for (const index_range & keys : walk_.ranges) {
                for (int64_t tile = 0; tile < n_tiles(keys); ++tile) {
                    visit(tile_of(keys, tile));
                }
            }
        }
        visit_joined();
        store();
        return counts_;
    }

  private:
    // Packed row m is position m / n_heads, head m % n_heads: rows of one position are neighbours, so a block of rows
    // needs nearly the same keys.
    int64_t position(int64_t m) const { return m / n_heads_; }
    int64_t head(int64_t m) const { return place_.head_begin + m % n_heads_; }

    void load_queries() {
        for (int64_t m = 0; m < n_rows_; ++m) {
            const float * source = args_.q + segment_.batch * args_.q_stride_batch + head(m) * args_.q_stride_head +
                                   (place_.row_begin + position(m)) * args_.q_stride_row;
            if constexpr (fast) {
                pack_adjacent_bf16(source, args_.d_qk, reinterpret_cast<uint32_t *>(scratch_.q) + m * args_.d_qk / 2);
            } else {
                std::memcpy(scratch_.q + m * args_.d_qk, source, static_cast<size_t>(args_.d_qk) * sizeof(float));
            }
        }
    }

    // The diagonal, the first keys, and the rest backwards: the sooner a row's maximum is large, the more is skipped.
    void visit_backwards() {
        if (walk_.ranges.empty()) {
            return;
        }
        const index_range first = tile_of(walk_.ranges.front(), 0);
        const index_range last = tile_of(walk_.ranges.back(), n_tiles(walk_.ranges.back()) - 1);
        visit(last);
        if (first.begin != last.begin) {
            visit(first);
        }
        for (auto keys = walk_.ranges.rbegin(); keys != walk_.ranges.rend(); ++keys) {
            for (int64_t tile = n_tiles(*keys); tile-- > 0;) {
                const index_range next = tile_of(*keys, tile);
                if (next.begin != first.begin && next.begin != last.begin) {
                    visit(next);
                }
            }
        }
    }

    void visit(index_range tile) {
        if (may_join(tile)) {
            join(tile);
        } else if (!segment_.masked || read_mask_cover(tile)) {
            multiply(tile);
        }
    }

    // What is left of a stretch behind its whole tiles, if every row keeps all of it, shares a tile with others of its
    // kind: short blocks of a list cost what as many neighbouring keys do.
    bool may_join(index_range tile) const {
        return tile.size() < k_block_keys && tile.size() % k_lanes == 0 && tile.end <= first_rank_ &&
               !segment_.masked && walk_.kept.dense();
    }

    void join(index_range tile) {
        for (int64_t rank = tile.begin; rank < tile.end; ++rank) {
            joined_[n_joined_++] = rank;
            if (n_joined_ == k_block_keys) {
                visit_joined();
            }
        }
    }

    void visit_joined() {
        if (n_joined_ > 0) {
            is_joined_ = true;
            multiply({0, n_joined_});
            is_joined_ = false;
            n_joined_ = 0;
        }
    }

    // All rows with one tile; of joined keys it is the range of their places.
    void multiply(index_range tile) {
        pack_tile_keys(tile);
        values_packed_ = false;
        for (int64_t m = 0; m < n_rows_; m += k_gemm_rows) {
            block(tile, m, smaller(k_gemm_rows, n_rows_ - m));
        }
    }

    const uint16_t * mask_row(int64_t m, int64_t key) const {
        return args_.mask + segment_.batch * args_.mask_stride_batch + head(m) * args_.mask_stride_head +
               (place_.row_begin + position(m)) * args_.mask_stride_row + key;
    }

    // Masked segments: what each packed row keeps of the tile, and which keys any row keeps. False: the tile is
    // skipped.
    bool read_mask_cover(index_range tile) {
        const int64_t n = tile.size();
        std::fill_n(key_seen_, n, uint8_t{0});
        bool any = false;
        const int64_t repeat = args_.mask_stride_head == 0 ? n_heads_ : 1;  // heads that share a mask row
        for (int64_t m = 0; m < n_rows_; m += repeat) {
            const uint16_t * mask = mask_row(m, tile.begin);
            uint32_t kept = 0;
            uint32_t nonzero = 0;
            for (int64_t j = 0; j < n; ++j) {
                const uint8_t keep = mask[j] != k_half_minus_infinity;
                key_seen_[j] = static_cast<uint8_t>(key_seen_[j] | keep);
                kept += keep;
                nonzero += mask[j] != 0;
            }
            const tile_cover cover =
                kept == 0 ? tile_cover::none : (nonzero == 0 ? tile_cover::full : tile_cover::partial);
            std::fill_n(scratch_.cover + m, repeat, static_cast<uint8_t>(cover));
            any = any || kept > 0;
        }
        return any;
    }

    // Where the tile's keys, or values, lie; -1 for those that nobody sees.
    void find_rows(index_range tile, int64_t base, int64_t stride_row, int64_t * offset) const {
        for (int64_t j = 0; j < tile.size(); ++j) {
            const int64_t key = is_joined_ ? joined_[j] : tile.begin + j;
            const int64_t cell = segment_.masked  ? key
                                 : segment_.cells ? segment_.cells[key]
                                                  : segment_.key_begin + key;
            const bool seen = !segment_.masked || key_seen_[j] != 0;
            offset[j] = seen ? base + cell * stride_row : -1;
        }
    }

    void pack_tile_keys(index_range tile) {
        int64_t offset[k_block_keys];
        find_rows(tile, segment_.batch * args_.k_stride_batch + place_.key_head * args_.k_stride_head,
                  args_.k_stride_row, offset);
        pack_keys<fast>({args_.k_type, args_.k, offset, tile.size(), args_.d_qk}, scratch_.convert, scratch_.k);
    }

    // For the first block of rows that needs them.
    void pack_tile_values(index_range tile) {
        if (values_packed_) {
            return;
        }
        values_packed_ = true;
        int64_t offset[k_block_keys];
        find_rows(tile, segment_.batch * args_.v_stride_batch + place_.key_head * args_.v_stride_head,
                  args_.v_stride_row, offset);
        pack_values<fast>({args_.v_type, args_.v, offset, tile.size(), args_.d_v}, scratch_.convert, scratch_.v);
    }

    // Columns of the tile that rows [m, m + count) keep, widened to whole vectors; `padded` columns were packed.
    index_range kept_columns(index_range tile, int64_t m, int64_t count, int64_t padded) const {
        if (segment_.masked) {
            const bool any = std::any_of(scratch_.cover + m, scratch_.cover + m + count,
                                         [](uint8_t c) { return c != static_cast<uint8_t>(tile_cover::none); });
            return {0, any ? padded : 0};
        }
        if (is_joined_) {
            return {0, padded};
        }
        const int64_t first = first_rank_ + position(m);
        const int64_t last = first_rank_ + position(m + count - 1);
        const int64_t end = smaller(tile.end, last + 1) - tile.begin;
        const bool sink = tile.begin < walk_.kept.n_sink;
        const int64_t begin = sink ? 0 : larger(tile.begin, window_begin(walk_.kept, first)) - tile.begin;
        if (begin >= end) {
            return {0, 0};
        }
        return {begin / k_lanes * k_lanes, round_up(end, k_lanes)};
    }

    column_rule columns_of(index_range tile, int64_t m, bool all) {
        column_rule rule{all, 0, 0, 0, nullptr, 1.0f};
        if (segment_.masked) {
            rule.slope = args_.alibi_slope ? args_.alibi_slope[head(m)] : 1.0f;
            rule.all = scratch_.cover[m] == static_cast<uint8_t>(tile_cover::full) && tile.size() % k_lanes == 0;
            rule.mask = mask_row(m, tile.begin);
            if (tile.size() % k_lanes != 0) {  // whole vectors would read past the row
                std::fill_n(padded_mask_, k_block_keys, uint16_t{k_half_minus_infinity});
                std::copy_n(rule.mask, tile.size(), padded_mask_);
                rule.mask = padded_mask_;
            }
        } else if (!all) {
            const int64_t rank = first_rank_ + position(m);
            const auto column = [&](int64_t key) {
                return static_cast<int32_t>(std::clamp<int64_t>(key - tile.begin, 0, tile.size()));
            };
            // A sink key beyond the row itself is not causal.
            rule.sink_end = column(smaller(walk_.kept.n_sink, rank + 1));
            rule.window_begin = column(window_begin(walk_.kept, rank));
            rule.window_end = column(rank + 1);
        }
        return rule;
    }

    // Rows [m, m + count) against the packed tile.
    void block(index_range tile, int64_t m, int64_t count) {
        const panel_shape key_panels{round_up(tile.size(), k_lanes)};
        const index_range columns = kept_columns(tile, m, count, key_panels.columns);
        if (columns.empty()) {
            return;
        }
        const int64_t depth_qk = fast ? args_.d_qk / 2 : args_.d_qk;
        for (int64_t begin = columns.begin / k_panel_width * k_panel_width; begin < columns.end;
             begin += k_panel_width) {
            product<fast>(count, key_panels.width(begin),
                          {scratch_.q + m * depth_qk, depth_qk, scratch_.k + begin * depth_qk, depth_qk,
                           scratch_.logits + begin, k_block_keys, nullptr});
        }

        HWY_ALIGN float factor[16] = {};
        ++counts_.visited;
        if (!weigh(tile, columns, m, count, factor)) {
            ++counts_.skipped;
            return;
        }
        pack_tile_values(tile);

        // Weights times values, over the columns kept: the packed values end with the tile (fast: with its last pair).
        const int64_t step = fast ? 2 : 1;
        const int64_t depth_v = (tile.size() + step - 1) / step;
        const int64_t depth_begin = columns.begin / step;
        const int64_t depth = smaller(columns.end / step, depth_v) - depth_begin;
        const float * weights = fast ? reinterpret_cast<const float *>(scratch_.weights) : scratch_.logits;
        const panel_shape value_panels{args_.d_v};
        for (int64_t begin = 0; begin < value_panels.columns; begin += k_panel_width) {
            const int64_t width = value_panels.width(begin);
            product<fast>(
                count, width,
                {weights + depth_begin, k_block_keys / step, scratch_.v + begin * depth_v + depth_begin * width, depth,
                 scratch_.out + m * args_.d_v + begin, args_.d_v, factor});
        }
    }

    // Logits of the block become weights; factor[r] is what the row's earlier sums are multiplied by. False: the tile
    // is skipped, and all stays as it was.
    bool weigh(index_range tile, index_range columns, int64_t m, int64_t count, float * factor) {
        const tag_f32 d;
        const bool all =
            is_joined_ || (!segment_.masked && columns.end <= tile.size() &&
                           cover(walk_.kept, {first_rank_ + position(m), first_rank_ + position(m + count - 1) + 1},
                                 {tile.begin + columns.begin, tile.begin + columns.end}) == tile_cover::full);
        HWY_ALIGN float shift[16] = {};
        HWY_ALIGN float maxima[16] = {};
        bool wanted = !skips_;
        for (int64_t r = 0; r < count; ++r) {
            const float maximum = finish_row(logits_, columns_of(tile, m + r, all), columns.begin, columns.end,
                                             scratch_.logits + r * k_block_keys);
            maxima[r] = maximum * logits_.factor;
            wanted |= maximum != k_minus_infinity && !(maxima[r] < scratch_.row_max[m + r] + skip_below_);
        }
        if (!wanted) {
            return false;
        }
        for (int64_t r = 0; r < count; ++r) {
            const float before = scratch_.row_max[m + r];
            const float after = std::max(before, maxima[r]);
            scratch_.row_max[m + r] = after;
            shift[r] = after == k_minus_infinity ? 0.0f : after;  // -inf - -inf would be NaN; every weight is 0 anyway
            factor[r] = before - shift[r];
        }
        for (int64_t r = 0; r < count; r += k_lanes) {
            hn::Store(exp2_nonpositive(hn::Load(d, factor + r)), d, factor + r);
        }
        for (int64_t r = 0; r < count; ++r) {
            float * row = scratch_.logits + r * k_block_keys;
            const float sum = weigh_row(logits_.factor, shift[r], columns.begin, columns.end, row);
            scratch_.row_sum[m + r] = scratch_.row_sum[m + r] * factor[r] + sum;
            if constexpr (fast) {
                pack_adjacent_bf16(row + columns.begin, columns.size(),
                                   scratch_.weights + r * k_block_keys / 2 + columns.begin / 2);
            }
        }
        return true;
    }

    void store() {
        for (int64_t m = 0; m < n_rows_; ++m) {
            float shift = scratch_.row_max[m];
            float sum = scratch_.row_sum[m];
            float factor = 1.0f;
            const float sink = args_.sink_logit ? args_.sink_logit[head(m)] * k_log2e : k_minus_infinity;
            if (sink > k_minus_infinity) {
                const float raised = std::max(shift, sink);
                factor = shift == k_minus_infinity ? 0.0f : std::exp2(shift - raised);
                sum = sum * factor + std::exp2(sink - raised);
                shift = raised;
            }
            const float normalise = sum == 0.0f ? 0.0f : factor / sum;
            const int64_t row = place_.row_begin + position(m);
            float * target = args_.out + segment_.batch * args_.out_stride_batch + row * args_.out_stride_row +
                             head(m) * args_.out_stride_head;
            const float * source = scratch_.out + m * args_.d_v;
            for (int64_t i = 0; i < args_.d_v; ++i) {
                target[i] = source[i] * normalise;
            }
            if (args_.lse) {
                constexpr float k_ln2 = 0.693147180559945309417f;
                args_.lse[(segment_.batch * args_.n_head + head(m)) * args_.n_q + row] =
                    sum == 0.0f ? k_minus_infinity : shift * k_ln2 + std::log(sum);
            }
        }
    }

    const attention_args & args_;
    const attention_segment & segment_;
    const item_place & place_;
    const item_walk & walk_;
    const thread_scratch & scratch_;
    const int64_t n_heads_;
    const int64_t n_rows_;
    const int64_t first_rank_;
    logit_rule logits_;
    int64_t joined_[k_block_keys];  // ranks
    int64_t n_joined_ = 0;
    bool is_joined_ = false;  // the tile at hand is of joined keys
    bool skips_ = false;
    float skip_below_ = 0;  // a tile's largest logit to a row's, in base 2: what lies below is skipped
    skip_counts counts_;
    bool values_packed_ = false;  // of the current tile
    uint8_t key_seen_[k_block_keys];
    uint16_t padded_mask_[k_block_keys];
};

// REQUIRES fast only where the instruction set multiplies bf16 (k_has_fast).
template <bool fast>
skip_counts run_item(const attention_args & args, const attention_segment & segment, const work_item & item,
                     const thread_scratch & scratch) {
    static_assert(!fast || k_has_fast);
    return item_runner<fast>(args, segment, item, scratch).run();
}

}  // namespace HWY_NAMESPACE
}  // namespace tmx::cpu
HWY_AFTER_NAMESPACE();

#endif
