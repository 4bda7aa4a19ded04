// Products of antidiagonals: groups of keys as panels, and what the queries of a group make of them. Included once per
// Highway target.
//
// A group of S keys, one after another, is one vector of S * d numbers; so is a group of queries in reversed order. One
// product of such vectors is the sum over an antidiagonal. Its depth is long, so it is taken in pieces of k_depth
// numbers or a little less, which the caches hold for all rows.

#if defined(TMX_GROUPS_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef TMX_GROUPS_INL_H
#undef TMX_GROUPS_INL_H
#else
#define TMX_GROUPS_INL_H
#endif

#include <algorithm>
#include <cstring>

#include "hwy/highway.h"
#include "kernels/cpu/pack-inl.h"
#include "kernels/cpu/product-inl.h"
#include "kernels/cpu/softmax-inl.h"
#include "select/cpu/kernel.h"
#include "select/cpu/key_means-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tmx::select_cpu {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
namespace tiles = cpu::HWY_NAMESPACE;

static_assert(k_span % tiles::k_panel_width == 0);

// Panels count 32-bit elements, of which bf16 takes half as many.
template <bool fast>
constexpr int64_t elements(int64_t n) {
    return fast ? n / 2 : n;
}

template <bool fast>
inline HWY_NOINLINE void pack_groups(const layer_rows & rows, int64_t key_head, int64_t stride, int64_t begin,
                                     float * convert, float * panels) {
    const int64_t dim = rows.args.d_qk;
    const int64_t n_ranks = rows.ranks().end;
    const int64_t n_groups = groups_of({0, n_ranks}, stride).end;
    const int64_t end = smaller(begin + k_panel_columns, n_groups);
    for (int64_t first = begin; first < end; first += tiles::k_panel_width) {
        const int64_t count = smaller(tiles::k_panel_width, n_groups - first);
        const int64_t width = tiles::round_up(count, tiles::k_lanes);
        float * panel = panels + first * elements<fast>(stride * dim);
        int64_t offset[k_panel_columns];
        for (int64_t t = 0; t < stride; ++t) {
            for (int64_t i = 0; i < count; ++i) {
                const int64_t rank = (first + i) * stride + t;
                offset[i] = rank < n_ranks ? rows.key(key_head, rank) : -1;
            }
            tiles::pack_keys<fast>({rows.args.k_type, rows.args.k, offset, count, dim}, convert,
                                   panel + t * elements<fast>(dim) * width);
        }
    }
}

template <bool fast>
class group_runner {
  public:
    group_runner(const group_item & item, const group_scratch & scratch)
        : item_(item),
          scratch_(scratch),
          n_rows_(item.n_rows()),
          n_heads_(item.heads.size()),
          stride_(item.values.stride),
          dim_(item.rows.args.d_qk),
          shape_{tiles::round_up(item.n_key_groups, tiles::k_lanes)} {
        constexpr int64_t k_depth = 256;
        while (n_together_ * 2 <= stride_ && n_together_ * 2 * dim_ <= k_depth) {
            n_together_ *= 2;
        }
    }

    void run() {
        load_queries();
        // Groups rise with the rows: the last row sees all that any row sees.
        for (int64_t first = 0; first < item_.groups.end; first += k_span) {
            multiply(first);
            for (int64_t m = 0; m < n_rows_; ++m) {
                weigh(m, first);
            }
        }
    }

  private:
    int64_t group_of(int64_t m) const { return item_.groups.begin + m / n_heads_; }

    // q: [piece][row][n_together * dim], so that the rows of a piece lie together.
    void load_queries() {
        const index_range ranks = item_.rows.ranks();
        const int64_t depth = n_together_ * dim_;
        for (int64_t m = 0; m < n_rows_; ++m) {
            const int64_t head = item_.heads.begin + m % n_heads_;
            const int64_t first = group_of(m) * stride_;
            const int64_t divisor = logit_divisor(item_.values, ranks, group_of(m));
            scratch_.factors[m] = item_.rows.args.scale * tiles::k_log2e / static_cast<float>(divisor);
            for (int64_t t = 0; t < stride_; ++t) {
                const int64_t rank = first + stride_ - 1 - t;
                const int64_t at = (t / n_together_ * n_rows_ + m) * depth + t % n_together_ * dim_;
                float * target = scratch_.q + elements<fast>(at);
                if (rank < ranks.begin || rank >= ranks.end) {
                    std::memset(target, 0, static_cast<size_t>(elements<fast>(dim_)) * sizeof(float));
                } else if constexpr (fast) {
                    tiles::pack_adjacent_bf16(item_.rows.query(head, rank), dim_, reinterpret_cast<uint32_t *>(target));
                } else {
                    std::memcpy(target, item_.rows.query(head, rank), static_cast<size_t>(dim_) * sizeof(float));
                }
            }
        }
    }

    // Logits of all rows and of the span's columns, as far as rows see them and keys are there.
    void multiply(int64_t first) {
        constexpr float k_ones[k_product_rows] = {1, 1, 1, 1, 1, 1};
        const int64_t depth = elements<fast>(n_together_ * dim_);
        const int64_t end = smaller(first + k_span, item_.n_key_groups);
        for (int64_t piece = 0; piece < stride_ / n_together_; ++piece) {
            for (int64_t m = 0; m < n_rows_; m += k_product_rows) {
                const int64_t count = smaller(k_product_rows, n_rows_ - m);
                const int64_t seen = smaller(end, group_of(m + count - 1) + 1);
                for (int64_t column = first; column < seen; column += tiles::k_panel_width) {
                    const int64_t width = shape_.width(column);
                    const float * panel = item_.panels + column * elements<fast>(stride_ * dim_);
                    tiles::product<fast>(
                        count, width,
                        {scratch_.q + (piece * n_rows_ + m) * depth, depth, panel + piece * depth * width, depth,
                         scratch_.logits + m * k_span + column - first, k_span, piece > 0 ? k_ones : nullptr});
                }
            }
        }
    }

    // One row's weights in the span, added up by blocks.
    void weigh(int64_t m, int64_t first) const {
        const int64_t n = smaller(k_span, group_of(m) + 1 - first);
        const int64_t block_columns = k_bitmap_keys / stride_;
        const int64_t n_blocks = k_span / block_columns;
        const int64_t span = first / k_span;
        float * sums = scratch_.sums + (m * scratch_.n_spans + span) * n_blocks;
        std::fill_n(sums, n_blocks, 0.0f);
        float & largest = scratch_.maxima[m * scratch_.n_spans + span];
        largest = tiles::k_minus_infinity;
        if (n <= 0) {
            return;
        }
        float * row = scratch_.logits + m * k_span;
        largest = scale_row(scratch_.factors[m], n, row);
        tiles::weigh_row(1.0f, largest, 0, tiles::round_up(n, tiles::k_lanes), row);
        for (int64_t column = 0; column < n; ++column) {
            sums[column / block_columns] += row[column];
        }
    }

    const group_item & item_;
    const group_scratch & scratch_;
    const int64_t n_rows_;
    const int64_t n_heads_;
    const int64_t stride_;
    const int64_t dim_;
    const tiles::panel_shape shape_;
    int64_t n_together_ = 1;  // keys of a group in a piece
};

// REQUIRES fast only where the instruction set multiplies bf16 (k_has_fast).
template <bool fast>
void group_sums(const group_item & item, const group_scratch & scratch) {
    static_assert(!fast || tiles::k_has_fast);
    group_runner<fast>(item, scratch).run();
}

}  // namespace HWY_NAMESPACE
}  // namespace tmx::select_cpu
HWY_AFTER_NAMESPACE();

#endif
