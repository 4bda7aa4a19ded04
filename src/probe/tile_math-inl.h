// Small dense products, and the elementwise part of a tile of the attention's reverse pass. This is compiled once per
// Highway target.

#if defined(TMX_PROBE_TILE_MATH_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef TMX_PROBE_TILE_MATH_INL_H
#undef TMX_PROBE_TILE_MATH_INL_H
#else
#define TMX_PROBE_TILE_MATH_INL_H
#endif

#include <cstdint>

#include "hwy/contrib/math/math-inl.h"
#include "hwy/highway.h"
#include "probe/section_sums.h"

HWY_BEFORE_NAMESPACE();
namespace tmx::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// 16 lanes at most: head dimensions and tiles are multiples of 16.
using tag = hn::CappedTag<float, 16>;
using vec = hn::Vec<tag>;
constexpr int64_t k_lanes = static_cast<int64_t>(hn::MaxLanes(tag()));

// Rows x vectors of the result held in registers: 8 x 2 of 32 registers, 4 x 2 of 16.
constexpr int k_rows = k_lanes >= 16 ? 8 : 4;

// The left operand's element (m, k) lies at a[m * a_row + k * a_sum], so that a transposed matrix needs no copy.
struct product_args {
    int64_t n_rows;  // multiple of 8
    int64_t n_cols;  // multiple of 16
    int64_t n_sum;
    const float * a;
    int64_t a_row;
    int64_t a_sum;
    const float * b;  // [n_sum, b_row]
    int64_t b_row;
    float * c;  // [n_rows, c_row]
    int64_t c_row;
};

template <int vectors, bool add>
HWY_INLINE void product_strip(const product_args & p, int64_t row, int64_t col) {
    const tag t;
    vec sum[k_rows][vectors];
    for (int r = 0; r < k_rows; ++r) {
        for (int n = 0; n < vectors; ++n) {
            sum[r][n] = add ? hn::LoadU(t, p.c + (row + r) * p.c_row + col + n * k_lanes) : hn::Zero(t);
        }
    }
    const float * a = p.a + row * p.a_row;
    const float * b = p.b + col;
    for (int64_t k = 0; k < p.n_sum; ++k) {
        vec right[vectors];
        for (int n = 0; n < vectors; ++n) {
            right[n] = hn::LoadU(t, b + k * p.b_row + n * k_lanes);
        }
        for (int r = 0; r < k_rows; ++r) {
            const vec left = hn::Set(t, a[r * p.a_row + k * p.a_sum]);
            for (int n = 0; n < vectors; ++n) {
                sum[r][n] = hn::MulAdd(left, right[n], sum[r][n]);
            }
        }
    }
    for (int r = 0; r < k_rows; ++r) {
        for (int n = 0; n < vectors; ++n) {
            hn::StoreU(sum[r][n], t, p.c + (row + r) * p.c_row + col + n * k_lanes);
        }
    }
}

// c = a b, or c += a b.
template <bool add>
HWY_NOINLINE void product(const product_args & p) {
    for (int64_t row = 0; row < p.n_rows; row += k_rows) {
        int64_t col = 0;
        for (; col + 2 * k_lanes <= p.n_cols; col += 2 * k_lanes) {
            product_strip<2, add>(p, row, col);
        }
        for (; col < p.n_cols; col += k_lanes) {
            product_strip<1, add>(p, row, col);
        }
    }
}

// One row of a tile, `width` columns (multiple of 16): s becomes A = exp(s - lse), da becomes dS = A (dA - D), and the
// three sums' terms are left in `terms` [3][width]: |dA|, |dA A|, |dS|.
HWY_INLINE void softmax_back_row(float * s, float * da, float * terms, int64_t width, float lse, float dot) {
    const tag t;
    const vec v_lse = hn::Set(t, lse);
    const vec v_dot = hn::Set(t, dot);
    for (int64_t c = 0; c < width; c += k_lanes) {
        const vec a = hn::Exp(t, hn::Sub(hn::LoadU(t, s + c), v_lse));
        const vec g = hn::LoadU(t, da + c);
        const vec ds = hn::Mul(a, hn::Sub(g, v_dot));
        const vec abs_g = hn::Abs(g);
        hn::StoreU(a, t, s + c);
        hn::StoreU(ds, t, da + c);
        hn::StoreU(abs_g, t, terms + c);
        hn::StoreU(hn::Mul(abs_g, a), t, terms + width + c);
        hn::StoreU(hn::Abs(ds), t, terms + 2 * width + c);
    }
}

HWY_INLINE double sum_of(const float * values, int64_t begin, int64_t end) {
    const tag t;
    vec sum = hn::Zero(t);
    int64_t c = begin;
    for (; c + k_lanes <= end; c += k_lanes) {
        sum = hn::Add(sum, hn::LoadU(t, values + c));
    }
    double total = static_cast<double>(hn::GetLane(hn::SumOfLanes(t, sum)));
    for (; c < end; ++c) {
        total += static_cast<double>(values[c]);
    }
    return total;
}

}  // namespace tmx::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // TMX_PROBE_TILE_MATH_INL_H
