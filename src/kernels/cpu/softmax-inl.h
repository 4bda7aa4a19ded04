// Online softmax of one row over one tile: masks and scales its logits, keeps the running maximum and sum, and leaves
// the weights. Base 2 throughout: a row's maximum M is kept already scaled, so that weights 2^(logit * c - M) of
// different tiles share the very same rounding of M. Included once per target.

#if defined(TMX_SOFTMAX_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef TMX_SOFTMAX_INL_H
#undef TMX_SOFTMAX_INL_H
#else
#define TMX_SOFTMAX_INL_H
#endif

#include <cstdint>
#include <limits>

#include "hwy/highway.h"
#include "kernels/cpu/gemm-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tmx::cpu {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

constexpr float k_log2e = 1.44269504088896340736f;
constexpr int32_t k_half_minus_infinity = 0xFC00;  // f16 bits
constexpr float k_minus_infinity = -std::numeric_limits<float>::infinity();

// 2^x for x <= ~1; 0 for x < -126.5 (also -inf), NaN for NaN. x = n + f with |f| <= 1/2; the degree-5 polynomial is the
// minimax of 2^f in relative error (9.1e-8, three quarters of an ulp) with p(0) = 1; 2^n is built in the exponent bits,
// where n = -127 gives a factor of exactly 0.
HWY_INLINE vec_f32 exp2_nonpositive(vec_f32 x) {
    const tag_f32 d;
    const hn::RebindToSigned<tag_f32> d_i32;
    // Adding 1.5 * 2^23 leaves round(x) in the low mantissa bits.
    const vec_f32 magic = hn::Set(d, 12582912.0f);
    // NaN passes: x86's maximum returns its second operand if either is NaN, NEON's returns NaN.
    const vec_f32 clamped = hn::Max(hn::Set(d, -127.0f), x);
    const vec_f32 shifted = hn::Add(clamped, magic);
    const vec_f32 f = hn::Sub(clamped, hn::Sub(shifted, magic));
    vec_f32 p = hn::Set(d, 1.326472712e-3f);
    p = hn::MulAdd(p, f, hn::Set(d, 9.671512645e-3f));
    p = hn::MulAdd(p, f, hn::Set(d, 5.550733743e-2f));
    p = hn::MulAdd(p, f, hn::Set(d, 2.402224209e-1f));
    p = hn::MulAdd(p, f, hn::Set(d, 6.931469776e-1f));
    p = hn::MulAdd(p, f, hn::Set(d, 1.0f));
    const auto exponent = hn::ShiftLeft<23>(hn::Add(hn::BitCast(d_i32, shifted), hn::Set(d_i32, 127)));
    return hn::Mul(p, hn::BitCast(d, exponent));
}

// How the raw products of a call become logits. In the plain case (no softcap, scale > 0) they are left as they are and
// `factor` = scale * log2(e) is applied inside the exponent.
struct logit_rule {
    bool plain;
    float factor;   // logits times this are base-2 exponents
    float scale;    // not plain: applied to the raw product
    float softcap;  // not plain: 0 for none
};

// Which columns of a tile a row keeps, relative to the tile: [0, sink_end) and [window_begin, window_end); or, when
// `mask` is set, those that are not -inf in the mask (f16 bits, readable up to whole vectors).
struct column_rule {
    bool all;
    int32_t sink_end;
    int32_t window_begin;
    int32_t window_end;
    const uint16_t * mask;
    float slope;
};

HWY_INLINE vec_f32 finish_logits(vec_f32 raw, const logit_rule & logits, const column_rule & columns, int32_t column) {
    const tag_f32 d;
    vec_f32 value = raw;
    if (!logits.plain) {
        value = hn::Mul(value, hn::Set(d, logits.scale));
        if (logits.softcap > 0) {
            // tanh(x) = sign(x) * (1 - 2 / (2^(2 |x| log2 e) + 1)), through the decaying exponential: no overflow.
            const vec_f32 x = hn::Mul(value, hn::Set(d, 1.0f / logits.softcap));
            const vec_f32 decay = exp2_nonpositive(hn::Mul(hn::Abs(x), hn::Set(d, -2.0f * k_log2e)));
            const vec_f32 one = hn::Set(d, 1.0f);
            const vec_f32 magnitude = hn::Div(hn::Sub(one, decay), hn::Add(one, decay));
            // Below 1/8 the difference 1 - decay cancels; the series x - x^3 / 3 + 2 x^5 / 15 - 17 x^7 / 315 has
            // relative error below 62 x^8 / 2835 < 2e-9 there.
            const vec_f32 x2 = hn::Mul(x, x);
            vec_f32 series = hn::Set(d, -17.0f / 315.0f);
            series = hn::MulAdd(series, x2, hn::Set(d, 2.0f / 15.0f));
            series = hn::MulAdd(series, x2, hn::Set(d, -1.0f / 3.0f));
            series = hn::MulAdd(hn::Mul(series, x2), x, x);
            const auto small = hn::Lt(hn::Abs(x), hn::Set(d, 0.125f));
            value = hn::Mul(hn::Set(d, logits.softcap), hn::IfThenElse(small, series, hn::CopySign(magnitude, x)));
        }
    }
    if (columns.all) {
        return value;
    }
    const vec_f32 dropped = hn::Set(d, k_minus_infinity);
    if (columns.mask) {
        const hn::Rebind<hwy::float16_t, tag_f32> d_half;
        const hn::Rebind<uint16_t, tag_f32> d_bits;
        const hn::RebindToSigned<tag_f32> d_i32;
        const auto bits = hn::LoadU(d_bits, columns.mask + column);
        const vec_f32 mask = hn::PromoteTo(d, hn::BitCast(d_half, bits));
        // By its bits: Highway's f16 conversion for SSSE3 makes infinity a finite number.
        const auto drops = hn::Eq(hn::PromoteTo(d_i32, bits), hn::Set(d_i32, k_half_minus_infinity));
        return hn::IfThenElse(hn::RebindMask(d, drops), dropped, hn::MulAdd(mask, hn::Set(d, columns.slope), value));
    }
    const hn::RebindToSigned<tag_f32> d_i32;
    const auto index = hn::Iota(d_i32, column);
    const auto in_sink = hn::Lt(index, hn::Set(d_i32, columns.sink_end));
    const auto in_window = hn::AndNot(hn::Lt(index, hn::Set(d_i32, columns.window_begin)),
                                      hn::Lt(index, hn::Set(d_i32, columns.window_end)));
    return hn::IfThenElse(hn::RebindMask(d, hn::Or(in_sink, in_window)), value, dropped);
}

// Pass 1: logits of columns [begin, end), multiples of k_lanes, finished in place; returns their maximum.
HWY_INLINE float finish_row(const logit_rule & logits, const column_rule & columns, int64_t begin, int64_t end,
                            float * row) {
    const tag_f32 d;
    vec_f32 maximum = hn::Set(d, k_minus_infinity);
    if (logits.plain && columns.all) {
        for (int64_t i = begin; i < end; i += k_lanes) {
            maximum = hn::Max(maximum, hn::Load(d, row + i));
        }
    } else {
        for (int64_t i = begin; i < end; i += k_lanes) {
            const vec_f32 value = finish_logits(hn::Load(d, row + i), logits, columns, static_cast<int32_t>(i));
            hn::Store(value, d, row + i);
            maximum = hn::Max(maximum, value);
        }
    }
    return hn::GetLane(hn::MaxOfLanes(d, maximum));
}

// Pass 2: logits become weights 2^(logit * factor - shift); returns their sum.
HWY_INLINE float weigh_row(float factor, float shift, int64_t begin, int64_t end, float * row) {
    const tag_f32 d;
    const vec_f32 v_factor = hn::Set(d, factor);
    const vec_f32 v_shift = hn::Set(d, shift);
    vec_f32 sum = hn::Zero(d);
    for (int64_t i = begin; i < end; i += k_lanes) {
        const vec_f32 weight = exp2_nonpositive(hn::MulSub(hn::Load(d, row + i), v_factor, v_shift));
        hn::Store(weight, d, row + i);
        sum = hn::Add(sum, weight);
    }
    return hn::GetLane(hn::SumOfLanes(d, sum));
}

}  // namespace HWY_NAMESPACE
}  // namespace tmx::cpu
HWY_AFTER_NAMESPACE();

#endif
