// Means of keys, and products of a few rows with means. Included once per Highway target.

#if defined(TMX_KEY_MEANS_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef TMX_KEY_MEANS_INL_H
#undef TMX_KEY_MEANS_INL_H
#else
#define TMX_KEY_MEANS_INL_H
#endif

#include <algorithm>
#include <cmath>

#include "hwy/highway.h"
#include "kernels/cpu/pack-inl.h"
#include "kernels/cpu/product-inl.h"
#include "kernels/cpu/softmax-inl.h"
#include "select/cpu/kernel.h"

HWY_BEFORE_NAMESPACE();
namespace tmx::select_cpu {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
namespace tiles = cpu::HWY_NAMESPACE;

static_assert(k_product_rows == tiles::k_gemm_rows);
static_assert(k_panel_columns % tiles::k_panel_width == 0);
static_assert(k_convert_floats >= 4 * cpu::k_max_dim + tiles::k_lanes);

inline HWY_NOINLINE void mean_key(const layer_rows & rows, int64_t key_head, index_range ranks, float factor,
                                  float * convert, float * mean) {
    const tiles::tag_f32 d;
    const int64_t dim = rows.args.d_qk;
    int64_t offset[k_bitmap_keys];
    for (int64_t rank = ranks.begin; rank < ranks.end; ++rank) {
        offset[rank - ranks.begin] = rows.key(key_head, rank);
    }
    const tiles::tile_rows keys{rows.args.k_type, rows.args.k, offset, ranks.size(), dim};
    for (int64_t i = 0; i < dim; i += tiles::k_lanes) {
        hn::StoreU(hn::Zero(d), d, mean + i);
    }
    for (int64_t key = 0; key < ranks.size(); ++key) {
        tiles::decode_tile_row(keys, key, convert);
        for (int64_t i = 0; i < dim; i += tiles::k_lanes) {
            hn::StoreU(hn::Add(hn::LoadU(d, mean + i), hn::LoadU(d, convert + i)), d, mean + i);
        }
    }
    for (int64_t i = 0; i < dim; i += tiles::k_lanes) {
        hn::StoreU(hn::Mul(hn::LoadU(d, mean + i), hn::Set(d, factor)), d, mean + i);
    }
}

// Panels of all n rows are one after another; each call of pack_keys() makes one.
inline HWY_NOINLINE void pack_means(const float * means, int64_t n, int64_t dim, float * convert, float * panels) {
    int64_t offset[k_panel_columns];
    for (int64_t begin = 0; begin < n; begin += tiles::k_panel_width) {
        const int64_t count = smaller(tiles::k_panel_width, n - begin);
        for (int64_t i = 0; i < count; ++i) {
            offset[i] = (begin + i) * dim;
        }
        tiles::pack_keys<false>({dtype::f32, means, offset, count, dim}, convert, panels + begin * dim);
    }
}

inline HWY_NOINLINE void row_products(const float * a, int64_t a_stride, int64_t n_rows, int64_t dim,
                                      const mean_panels & means, int64_t n, float * logits) {
    const tiles::panel_shape shape{tiles::round_up(means.n, tiles::k_lanes)};
    for (int64_t begin = 0; begin < n; begin += tiles::k_panel_width) {
        tiles::product<false>(
            n_rows, shape.width(begin),
            {a, a_stride, means.panels + begin * dim, dim, logits + begin, padded_columns(means.n), nullptr});
    }
}

// Logits of a row become exponents of base 2, those of columns from n on (as far as vectors reach) -inf; returns the
// largest one.
HWY_INLINE float scale_row(float factor, int64_t n, float * row) {
    const tiles::tag_f32 d;
    const hn::RebindToSigned<tiles::tag_f32> d_i32;
    const auto v_factor = hn::Set(d, factor);
    auto largest = hn::Set(d, tiles::k_minus_infinity);
    int64_t i = 0;
    for (; i + tiles::k_lanes <= n; i += tiles::k_lanes) {
        const auto value = hn::Mul(hn::Load(d, row + i), v_factor);
        hn::Store(value, d, row + i);
        largest = hn::Max(largest, value);
    }
    if (i < n) {
        const auto seen = hn::Lt(hn::Iota(d_i32, static_cast<int32_t>(i)), hn::Set(d_i32, static_cast<int32_t>(n)));
        const auto value = hn::IfThenElse(hn::RebindMask(d, seen), hn::Mul(hn::Load(d, row + i), v_factor),
                                          hn::Set(d, tiles::k_minus_infinity));
        hn::Store(value, d, row + i);
        largest = hn::Max(largest, value);
    }
    return hn::GetLane(hn::MaxOfLanes(d, largest));
}

// votes[i] += 2^(row[i] - shift), of columns [0, n), as far as vectors reach.
HWY_INLINE void add_votes(const float * row, float shift, int64_t n, float * votes) {
    const tiles::tag_f32 d;
    for (int64_t i = 0; i < n; i += tiles::k_lanes) {
        const auto weight = tiles::exp2_nonpositive(hn::Sub(hn::Load(d, row + i), hn::Set(d, shift)));
        hn::Store(hn::Add(hn::Load(d, votes + i), weight), d, votes + i);
    }
}

HWY_INLINE void scale_votes(float factor, int64_t n, float * votes) {
    const tiles::tag_f32 d;
    for (int64_t i = 0; i < n; i += tiles::k_lanes) {
        hn::Store(hn::Mul(hn::Load(d, votes + i), hn::Set(d, factor)), d, votes + i);
    }
}

inline HWY_NOINLINE void means_votes(const means_item & item, float * logits, float * votes) {
    const attention_args & args = item.rows.args;
    const int64_t n = scored_blocks(item.tile);
    const int64_t stride = padded_columns(item.means.n);
    const float factor = args.scale * tiles::k_log2e;
    const int64_t group = item.rows.group();
    float largest = tiles::k_minus_infinity;  // of the tile so far
    std::fill_n(votes, padded_columns(n), 0.0f);
    for (int64_t head = item.key_head * group; head < (item.key_head + 1) * group; ++head) {
        for (int64_t rank = item.tile.begin; rank < item.tile.end; rank += k_product_rows) {
            const int64_t count = smaller(k_product_rows, item.tile.end - rank);
            row_products(item.rows.query(head, rank), args.q_stride_row, count, args.d_qk, item.means, n, logits);
            for (int64_t r = 0; r < count; ++r) {
                float * row = logits + r * stride;
                const int64_t n_voted = voted_blocks(item.tile, rank + r);
                float shift = scale_row(factor, n_voted, row);
                if (item.tile_maximum) {
                    if (shift > largest) {
                        scale_votes(std::exp2(largest - shift), n, votes);
                        largest = shift;
                    }
                    shift = largest;
                }
                add_votes(row, shift, n_voted, votes);
            }
        }
    }
}

}  // namespace HWY_NAMESPACE
}  // namespace tmx::select_cpu
HWY_AFTER_NAMESPACE();

#endif
