// Weights as the floating-point numbers they stand for. Included once per Highway target.

#if defined(TMX_PRODUCTS_DECODE_FLOATS_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef TMX_PRODUCTS_DECODE_FLOATS_INL_H
#undef TMX_PRODUCTS_DECODE_FLOATS_INL_H
#else
#define TMX_PRODUCTS_DECODE_FLOATS_INL_H
#endif

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "hwy/highway.h"
#include "products/bf16.h"
#include "products/decode-inl.h"
#include "products/round-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tmx::products {
namespace HWY_NAMESPACE {

constexpr int64_t k_floats_a_time = 32;  // of weights that have no blocks

HWY_INLINE void f16_to_floats(const uint16_t * source, int64_t n, float * target) {
    const tag_f32 d;
    const hn::Rebind<hwy::float16_t, tag_f32> d_half;
    for (int64_t i = 0; i < n; i += k_lanes) {
        const auto half = hn::LoadU(d_half, reinterpret_cast<const hwy::float16_t *>(source + i));
        hn::Store(hn::PromoteTo(d, half), d, target + i);
    }
}

template <weight_type type>
HWY_INLINE void block_to_floats(const decoded_block & block, float * target) {
    constexpr weight_format format = format_of(type);
    const tag_f32 d;
    const hn::Rebind<int32_t, tag_f32> d_i32;
    const hn::Rebind<int8_t, tag_f32> d_i8;
    for (int64_t i = 0; i < format.block_elems; i += k_lanes) {
        const int64_t group = i / format.group;
        const auto integers = hn::PromoteTo(d_i32, hn::LoadU(d_i8, block.values + i));
        auto values = hn::Mul(hn::ConvertTo(d, integers), hn::Set(d, block.scales[group]));
        if constexpr (format.has_min) {
            values = hn::Add(values, hn::Set(d, block.mins[group]));
        }
        hn::Store(values, d, target + i);
    }
}

// n elements, and zeros behind them, up to `most`. A copy of a length that the compiler knows is a few instructions.
template <int64_t most, class element>
HWY_INLINE void copy_filled(const uint8_t * source, int64_t n, element * target) {
    if (n == most) {
        std::memcpy(target, source, most * sizeof(element));
        return;
    }
    std::memcpy(target, source, static_cast<size_t>(n) * sizeof(element));
    std::fill(target + n, target + most, element{});
}

// The next n values of a column; zeros behind them, up to `most`.
template <weight_type type, int64_t most>
HWY_INLINE void decode_floats(const uint8_t * weights, int64_t n, decoded_block & block, float * target) {
    if constexpr (is_quantised(type)) {
        decode_block<type>(weights, block);
        block_to_floats<type>(block, target);
    } else if constexpr (type == weight_type::f32) {
        copy_filled<most>(weights, n, target);
    } else {
        HWY_ALIGN uint16_t bits[most];
        copy_filled<most>(weights, n, bits);
        if constexpr (type == weight_type::f16) {
            f16_to_floats(bits, most, target);
        } else {
            std::transform(bits, bits + most, target, from_bf16);
        }
    }
}

HWY_INLINE void round_to_bf16(const float * source, int64_t n, uint16_t * target) {
    for (int64_t i = 0; i < n; ++i) {
        target[i] = to_bf16(source[i]);
    }
}

}  // namespace HWY_NAMESPACE
}  // namespace tmx::products
HWY_AFTER_NAMESPACE();

#endif
