// Rounds rows to 8 bits, kept in 16 for pairs, bit for bit as ggml's CPU code on x86-64 does. Included once per Highway
// target.

#if defined(TMX_PRODUCTS_ROUND_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef TMX_PRODUCTS_ROUND_INL_H
#undef TMX_PRODUCTS_ROUND_INL_H
#else
#define TMX_PRODUCTS_ROUND_INL_H
#endif

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include "hwy/highway.h"
#include "products/kernel.h"

HWY_BEFORE_NAMESPACE();
namespace tmx::products {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using tag_f32 = hn::ScalableTag<float>;
using vec_f32 = hn::Vec<tag_f32>;
constexpr int64_t k_lanes = static_cast<int64_t>(hn::MaxLanes(tag_f32()));

// The f16 nearest to x, as f32.
HWY_INLINE float rounded_to_f16(float x) {
    const uint32_t bits = std::bit_cast<uint32_t>(x);
    const uint32_t magnitude = bits & 0x7fffffffu;
    float result = 0;
    if (magnitude < (127u - 14u) << 23) {  // below f16's normal numbers steps are 2^-24, as those of f32 above 0.5
        result = (std::bit_cast<float>(magnitude) + 0.5f) - 0.5f;
    } else {
        const uint32_t rounded = (magnitude + 0xfffu + ((magnitude >> 13) & 1u)) & ~0x1fffu;
        result = rounded >= (127u + 16u) << 23 && magnitude < 0x7f800000u ? std::numeric_limits<float>::infinity()
                                                                          : std::bit_cast<float>(rounded);
    }
    return std::copysign(result, x);
}

// n values (a multiple of 16) times `factor`, to the nearest integer, ties to even, at most 127. Returns their sum for
// each group of `group`.
HWY_INLINE void round_values(const float * source, int64_t n, float factor, int64_t group, int16_t * target,
                             int32_t * sums) {
    const tag_f32 d;
    const hn::RebindToSigned<tag_f32> d_i32;
    const hn::Rebind<int16_t, tag_f32> d_i16;
    const auto scale = hn::Set(d, factor);
    const auto most = hn::Set(d_i32, 127);
    for (int64_t begin = 0; begin < n; begin += group) {
        auto sum = hn::Zero(d_i32);
        for (int64_t i = begin; i < begin + group; i += k_lanes) {
            const auto value = hn::Min(hn::NearestInt(hn::Mul(hn::LoadU(d, source + i), scale)), most);
            sum = hn::Add(sum, value);
            hn::StoreU(hn::DemoteTo(d_i16, value), d_i16, target + i);
        }
        sums[begin / group] = hn::GetLane(hn::SumOfLanes(d_i32, sum));
    }
}

HWY_INLINE float largest_magnitude(const float * source, int64_t n) {
    const tag_f32 d;
    auto largest = hn::Zero(d);
    for (int64_t i = 0; i < n; i += k_lanes) {
        largest = hn::Max(largest, hn::Abs(hn::LoadU(d, source + i)));
    }
    return hn::GetLane(hn::MaxOfLanes(d, largest));
}

// The first of n values whose magnitude is `magnitude`.
HWY_INLINE float first_with_magnitude(const float * source, int64_t n, float magnitude) {
    const tag_f32 d;
    const auto wanted = hn::Set(d, magnitude);
    for (int64_t i = 0; i < n; i += k_lanes) {
        const intptr_t lane = hn::FindFirstTrue(d, hn::Eq(hn::Abs(hn::LoadU(d, source + i)), wanted));
        if (lane >= 0) {
            return source[i + lane];
        }
    }
    return magnitude;
}

// The factor that turns a block's values into integers, and the scale that turns them back.
struct block_scales {
    float factor;
    float scale;
};

HWY_INLINE block_scales scales_of(const float * source, int64_t n, rounding how) {
    const float largest = largest_magnitude(source, n);
    if (largest == 0.0f) {
        return {0.0f, 0.0f};
    }
    if (how == rounding::q8_k) {
        const float factor = -127.0f / first_with_magnitude(source, n, largest);
        return {factor, 1.0f / factor};
    }
    return {127.0f / largest, largest / 127.0f};
}

inline void round_row(const weight_format & format, const float * source, int64_t depth, int16_t * values,
                      float * scales, float * sums) {
    constexpr int64_t k_most_groups = 16;
    const int64_t block = format.row_rounding == rounding::q8_k ? 256 : 32;
    int32_t group_sums[k_most_groups];
    int64_t g = 0;
    for (int64_t begin = 0; begin < depth; begin += block) {
        const block_scales found = scales_of(source + begin, block, format.row_rounding);
        round_values(source + begin, block, found.factor, format.group, values + begin, group_sums);
        const float scale = format.row_rounding == rounding::q8_k ? found.scale : rounded_to_f16(found.scale);
        for (int64_t i = 0; i < block / format.group; ++i, ++g) {
            scales[g] = scale;
            if (format.has_min) {
                const float sum = found.scale * static_cast<float>(group_sums[i]);
                sums[g] = format.row_rounding == rounding::q8_1 ? rounded_to_f16(sum) : sum;
            }
        }
    }
}

inline void round_rows(const product_args & args, int64_t row_begin, int64_t row_end, const rounded_rows & rounded) {
    const weight_format & format = format_of(args.type);
    const int64_t n_groups = args.depth / format.group;
    for (int64_t row = row_begin; row < row_end; ++row) {
        const int64_t first = row * n_groups;
        round_row(format, args.rows + row * args.row_stride, args.depth,
                  static_cast<int16_t *>(rounded.values) + row * rounded.row_stride, rounded.scales + first,
                  rounded.sums + first);
    }
}

}  // namespace HWY_NAMESPACE
}  // namespace tmx::products
HWY_AFTER_NAMESPACE();

#endif
