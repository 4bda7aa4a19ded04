// Weights of a few rows along lines, once for every instruction set: logits as attention computes them, tile of keys by
// tile of keys, then sums over rows instead of over keys. Included once per target.

#if defined(TMX_LINE_SUMS_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef TMX_LINE_SUMS_INL_H
#undef TMX_LINE_SUMS_INL_H
#else
#define TMX_LINE_SUMS_INL_H
#endif

#include <algorithm>
#include <cmath>

#include "hwy/highway.h"
#include "kernels/cpu/line_kernels.h"
#include "kernels/cpu/pack-inl.h"
#include "kernels/cpu/product-inl.h"
#include "kernels/cpu/softmax-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tmx::cpu {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

class slab_runner {
  public:
    slab_runner(const line_slab & slab, const line_scratch & scratch)
        : slab_(slab),
          scratch_(scratch),
          first_rank_(slab.segment.rank_begin + slab.rows.begin - slab.segment.row_begin) {
        const attention_args & args = slab.args;
        logits_.plain = args.scale > 0 && !(args.logit_softcap > 0);
        logits_.factor = logits_.plain ? args.scale * k_log2e : k_log2e;
        logits_.scale = args.scale;
        logits_.softcap = args.logit_softcap;
    }

    void measure(float * largest, float * sum) {
        std::fill_n(largest, slab_.packed_rows(), k_minus_infinity);
        std::fill_n(sum, slab_.packed_rows(), 0.0f);
        for_each_row([&](index_range, int64_t head, int64_t row, int64_t width, float maximum, float * logits) {
            const int64_t m = head * slab_.rows.size() + row;
            const float before = largest[m];
            const float after = std::max(before, maximum * logits_.factor);
            if (after == k_minus_infinity) {
                return;
            }
            largest[m] = after;
            sum[m] = sum[m] * std::exp2(before - after) + weigh_row(logits_.factor, after, 0, width, logits);
        });
    }

    void add(const float * shift, float * vertical, int64_t vertical_stride, float * slash, int64_t slash_stride) {
        for_each_row([&](index_range tile, int64_t head, int64_t row, int64_t width, float, float * logits) {
            weigh_row(logits_.factor, shift[head * slab_.rows.size() + row], 0, width, logits);
            const int64_t key = tile.begin - slab_.keys.begin;
            add_to(logits, tile.size(), vertical + head * vertical_stride + key);
            // The next row's distances are one longer.
            add_to(logits, tile.size(), slash + head * slash_stride + key + slab_.rows.size() - 1 - row);
        });
    }

  private:
    static void add_to(const float * weights, int64_t n, float * target) {
        const tag_f32 d;
        int64_t i = 0;
        for (; i + k_lanes <= n; i += k_lanes) {
            hn::StoreU(hn::Add(hn::LoadU(d, target + i), hn::Load(d, weights + i)), d, target + i);
        }
        for (; i < n; ++i) {
            target[i] += weights[i];
        }
    }

    // Calls done(tile, head, row, columns in whole vectors, largest finished logit, logits) for every row and tile.
    template <typename F>
    void for_each_row(const F & done) {
        for (int64_t begin = slab_.keys.begin; begin < slab_.keys.end; begin += k_block_keys) {
            const index_range tile{begin, smaller(begin + k_block_keys, slab_.keys.end)};
            pack(tile);
            for (int64_t head = 0; head < slab_.group(); ++head) {
                for (int64_t row = 0; row < slab_.rows.size(); row += k_gemm_rows) {
                    const int64_t count = smaller(k_gemm_rows, slab_.rows.size() - row);
                    const int64_t width = multiply(tile, head, row, count);
                    for (int64_t r = 0; r < count; ++r) {
                        float * logits = scratch_.logits + r * k_block_keys;
                        const float maximum = finish_row(logits_, columns_of(tile, row + r), 0, width, logits);
                        done(tile, head, row + r, width, maximum, logits);
                    }
                }
            }
        }
    }

    void pack(index_range tile) {
        const attention_args & args = slab_.args;
        const attention_segment & segment = slab_.segment;
        int64_t offset[k_block_keys];
        const int64_t base = segment.batch * args.k_stride_batch + slab_.key_head * args.k_stride_head;
        for (int64_t j = 0; j < tile.size(); ++j) {
            const int64_t key = tile.begin + j;
            offset[j] =
                base + (segment.cells != nullptr ? segment.cells[key] : segment.key_begin + key) * args.k_stride_row;
        }
        pack_keys<false>({args.k_type, args.k, offset, tile.size(), args.d_qk}, scratch_.convert, scratch_.k);
    }

    // Products of rows [row, row + count) of a head with the packed tile; how many columns they have.
    int64_t multiply(index_range tile, int64_t head, int64_t row, int64_t count) {
        const attention_args & args = slab_.args;
        const panel_shape panels{round_up(tile.size(), k_lanes)};
        const float * queries = args.q + slab_.segment.batch * args.q_stride_batch +
                                (slab_.key_head * slab_.group() + head) * args.q_stride_head +
                                (slab_.rows.begin + row) * args.q_stride_row;
        for (int64_t begin = 0; begin < panels.columns; begin += k_panel_width) {
            product<false>(count, panels.width(begin),
                           {queries, args.q_stride_row, scratch_.k + begin * args.d_qk, args.d_qk,
                            scratch_.logits + begin, k_block_keys, nullptr});
        }
        return panels.columns;
    }

    column_rule columns_of(index_range tile, int64_t row) const {
        const int64_t seen = std::clamp<int64_t>(first_rank_ + row + 1 - tile.begin, 0, tile.size());
        return {seen == tile.size() && seen % k_lanes == 0, 0, 0, static_cast<int32_t>(seen), nullptr, 1.0f};
    }

    const line_slab & slab_;
    const line_scratch & scratch_;
    const int64_t first_rank_;  // of the rows
    logit_rule logits_;
};

inline void measure_slab(const line_slab & slab, const line_scratch & scratch, float * largest, float * sum) {
    slab_runner(slab, scratch).measure(largest, sum);
}

inline void add_slab(const line_slab & slab, const line_scratch & scratch, const float * shift, float * vertical,
                     int64_t vertical_stride, float * slash, int64_t slash_stride) {
    slab_runner(slab, scratch).add(shift, vertical, vertical_stride, slash, slash_stride);
}

}  // namespace HWY_NAMESPACE
}  // namespace tmx::cpu
HWY_AFTER_NAMESPACE();

#endif
