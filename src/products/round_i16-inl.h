// Rounds rows, and weights, to integers of 14 bits with a scale for each 32 values. Included once per Highway target.

#if defined(TMX_PRODUCTS_ROUND_I16_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef TMX_PRODUCTS_ROUND_I16_INL_H
#undef TMX_PRODUCTS_ROUND_I16_INL_H
#else
#define TMX_PRODUCTS_ROUND_I16_INL_H
#endif

#include <algorithm>
#include <bit>
#include <cstdint>
#include <limits>

#include "hwy/highway.h"
#include "products/kernel.h"
#include "products/round-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tmx::products {
namespace HWY_NAMESPACE {

// 32 products of two such integers have a sum below 2^31, so a group's sum is exact.
constexpr int64_t k_most_i16 = (1 << 13) - 1;
static_assert(k_i16_group * k_most_i16 * k_most_i16 <= std::numeric_limits<int32_t>::max());

// The largest magnitude of a group; NaN counts as larger than infinity. As bits, which are in the order of magnitudes.
HWY_INLINE float largest_of_group(const float * source) {
    const tag_f32 d;
    const hn::RebindToUnsigned<tag_f32> d_bits;
    auto largest = hn::Zero(d_bits);
    for (int64_t i = 0; i < k_i16_group; i += k_lanes) {
        largest = hn::Max(largest, hn::BitCast(d_bits, hn::Abs(hn::LoadU(d, source + i))));
    }
    return std::bit_cast<float>(hn::GetLane(hn::MaxOfLanes(d_bits, largest)));
}

// To the nearest multiples of the scale, ties to even. Returns the scale: NaN if a value of the group is not finite.
HWY_INLINE float round_group_to_i16(const float * source, int16_t * target) {
    const float largest = largest_of_group(source);
    if (!(largest <= std::numeric_limits<float>::max())) {
        std::fill_n(target, k_i16_group, int16_t{0});
        return std::numeric_limits<float>::quiet_NaN();
    }
    constexpr float k_most = static_cast<float>(k_most_i16);
    constexpr float k_least_scale = std::numeric_limits<float>::min();  // smaller ones have no inverse
    const tag_f32 d;
    const hn::RebindToUnsigned<tag_f32> d_bits;
    const hn::Rebind<uint16_t, tag_f32> d_u16;
    const auto factor = hn::Set(d, std::min(k_most / largest, 1.0f / k_least_scale));
    const auto unit = hn::Set(d, 0x1.8p23f);  // of its neighbours the last bits are integers, of two's complement
    for (int64_t i = 0; i < k_i16_group; i += k_lanes) {
        const auto rounded = hn::BitCast(d_bits, hn::MulAdd(hn::LoadU(d, source + i), factor, unit));
        hn::StoreU(hn::TruncateTo(d_u16, rounded), d_u16, reinterpret_cast<uint16_t *>(target + i));
    }
    return std::max(largest / k_most, k_least_scale);
}

inline void round_i16_rows(const product_args & args, int64_t row_begin, int64_t row_end,
                           const rounded_rows & rounded) {
    const int64_t n_groups = n_scale_groups(args);
    const int64_t n_whole = args.depth / k_i16_group;
    for (int64_t row = row_begin; row < row_end; ++row) {
        const float * source = args.rows + row * args.row_stride;
        auto * target = static_cast<int16_t *>(rounded.values) + row * rounded.row_stride;
        float * scales = rounded.scales + row * n_groups;
        for (int64_t g = 0; g < n_whole; ++g) {
            scales[g] = round_group_to_i16(source + g * k_i16_group, target + g * k_i16_group);
        }
        if (n_whole < n_groups) {
            float filled[k_i16_group] = {};
            std::copy(source + n_whole * k_i16_group, source + args.depth, filled);
            scales[n_whole] = round_group_to_i16(filled, target + n_whole * k_i16_group);
        }
    }
}

}  // namespace HWY_NAMESPACE
}  // namespace tmx::products
HWY_AFTER_NAMESPACE();

#endif
