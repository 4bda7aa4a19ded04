// One block of weights as integers, scales and minima. Included once per Highway target.

#if defined(TMX_PRODUCTS_DECODE_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef TMX_PRODUCTS_DECODE_INL_H
#undef TMX_PRODUCTS_DECODE_INL_H
#else
#define TMX_PRODUCTS_DECODE_INL_H
#endif

#include <cstdint>
#include <cstring>

#include "hwy/highway.h"
#include "products/weight_formats.h"

HWY_BEFORE_NAMESPACE();
namespace tmx::products {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

constexpr int64_t k_most_elems = 256;
constexpr int64_t k_most_groups_of_block = 16;

// Value i is scales[i / group] * values[i] + mins[i / group].
struct decoded_block {
    HWY_ALIGN int8_t values[k_most_elems];
    float scales[k_most_groups_of_block];
    float mins[k_most_groups_of_block];
};

HWY_INLINE float f16_at(const uint8_t * bytes) {
    const hn::Simd<float, 1, 0> d;
    const hn::Rebind<hwy::float16_t, decltype(d)> d_half;
    const hn::Rebind<uint16_t, decltype(d)> d_bits;
    uint16_t bits = 0;
    std::memcpy(&bits, bytes, sizeof(bits));
    return hn::GetLane(hn::PromoteTo(d, hn::BitCast(d_half, hn::Set(d_bits, bits))));
}

using tag_u8x16 = hn::Full128<uint8_t>;
using vec_u8x16 = hn::Vec<tag_u8x16>;

HWY_INLINE void store_biased(vec_u8x16 bytes, uint8_t bias, int8_t * target) {
    const tag_u8x16 d;
    hn::StoreU(hn::Sub(bytes, hn::Set(d, bias)), d, reinterpret_cast<uint8_t *>(target));
}

struct nibbles {
    vec_u8x16 low;
    vec_u8x16 high;
};

HWY_INLINE nibbles split(const uint8_t * bytes) {
    const tag_u8x16 d;
    const hn::Repartition<uint16_t, tag_u8x16> d_u16;
    const auto mask = hn::Set(d, uint8_t{15});
    const auto both = hn::LoadU(d, bytes);
    return {hn::And(both, mask), hn::And(hn::BitCast(d, hn::ShiftRight<4>(hn::BitCast(d_u16, both))), mask)};
}

// Byte i of 16 holds value i (low half) and value 16 + i (high half).
HWY_INLINE void split_nibbles(const uint8_t * bytes, uint8_t bias, int8_t * values) {
    const nibbles parts = split(bytes);
    store_biased(parts.low, bias, values);
    store_biased(parts.high, bias, values + 16);
}

// 16 where a bit of `bits` is set, 0 elsewhere: bit i for byte i.
HWY_INLINE vec_u8x16 sixteens(const uint8_t * bits) {
    const tag_u8x16 d;
    HWY_ALIGN static constexpr uint8_t k_byte_of[16] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1};
    HWY_ALIGN static constexpr uint8_t k_bit_of[16] = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
    const hn::Repartition<uint16_t, tag_u8x16> d_u16;
    uint16_t pair = 0;
    std::memcpy(&pair, bits, sizeof(pair));
    const auto spread = hn::TableLookupBytes(hn::BitCast(d, hn::Set(d_u16, pair)), hn::Load(d, k_byte_of));
    const auto bit = hn::Load(d, k_bit_of);
    return hn::And(hn::VecFromMask(d, hn::Eq(hn::And(spread, bit), bit)), hn::Set(d, uint8_t{16}));
}

// The same, with bit i of `high` on top of value i.
HWY_INLINE void split_nibbles_and_bits(const uint8_t * bytes, const uint8_t * high, uint8_t bias, int8_t * values) {
    const nibbles parts = split(bytes);
    store_biased(hn::Or(parts.low, sixteens(high)), bias, values);
    store_biased(hn::Or(parts.high, sixteens(high + 2)), bias, values + 16);
}

// Scale and minimum `index` of eight, six bits each, packed into twelve bytes.
HWY_INLINE void six_bit_pair(const uint8_t * packed, int index, int * scale, int * min) {
    if (index < 4) {
        *scale = packed[index] & 63;
        *min = packed[index + 4] & 63;
    } else {
        *scale = (packed[index + 4] & 15) | ((packed[index - 4] >> 6) << 4);
        *min = (packed[index + 4] >> 4) | ((packed[index] >> 6) << 4);
    }
}

// Head of q4_k and q5_k: two f16, then the twelve bytes.
HWY_INLINE void decode_k_scales(const uint8_t * block, decoded_block & out) {
    const float scale_step = f16_at(block);
    const float min_step = f16_at(block + 2);
    for (int g = 0; g < 8; ++g) {
        int scale = 0;
        int min = 0;
        six_bit_pair(block + 4, g, &scale, &min);
        out.scales[g] = scale_step * static_cast<float>(scale);
        out.mins[g] = -(min_step * static_cast<float>(min));
    }
}

HWY_INLINE void decode_q4_k(const uint8_t * block, decoded_block & out) {
    decode_k_scales(block, out);
    for (int part = 0; part < 4; ++part) {
        const uint8_t * bytes = block + 16 + 32 * part;
        int8_t * values = out.values + 64 * part;
        for (int i = 0; i < 32; ++i) {
            values[i] = static_cast<int8_t>(bytes[i] & 15);
            values[32 + i] = static_cast<int8_t>(bytes[i] >> 4);
        }
    }
}

HWY_INLINE void decode_q5_k(const uint8_t * block, decoded_block & out) {
    decode_k_scales(block, out);
    const uint8_t * high = block + 16;
    for (int part = 0; part < 4; ++part) {
        const uint8_t * bytes = block + 48 + 32 * part;
        int8_t * values = out.values + 64 * part;
        for (int i = 0; i < 32; ++i) {
            values[i] = static_cast<int8_t>((bytes[i] & 15) | ((high[i] >> (2 * part) & 1) << 4));
            values[32 + i] = static_cast<int8_t>((bytes[i] >> 4) | ((high[i] >> (2 * part + 1) & 1) << 4));
        }
    }
}

HWY_INLINE void decode_q6_k(const uint8_t * block, decoded_block & out) {
    const float step = f16_at(block + 208);
    for (int g = 0; g < 16; ++g) {
        out.scales[g] = step * static_cast<float>(static_cast<int8_t>(block[192 + g]));
    }
    for (int half = 0; half < 2; ++half) {
        const uint8_t * low = block + 64 * half;
        const uint8_t * high = block + 128 + 32 * half;
        int8_t * values = out.values + 128 * half;
        for (int i = 0; i < 32; ++i) {
            values[i] = static_cast<int8_t>(((low[i] & 15) | ((high[i] & 3) << 4)) - 32);
            values[32 + i] = static_cast<int8_t>(((low[32 + i] & 15) | ((high[i] >> 2 & 3) << 4)) - 32);
            values[64 + i] = static_cast<int8_t>(((low[i] >> 4) | ((high[i] >> 4 & 3) << 4)) - 32);
            values[96 + i] = static_cast<int8_t>(((low[32 + i] >> 4) | ((high[i] >> 6) << 4)) - 32);
        }
    }
}

template <weight_type type>
HWY_INLINE void decode_block(const uint8_t * block, decoded_block & out) {
    if constexpr (type == weight_type::q4_k) {
        decode_q4_k(block, out);
    } else if constexpr (type == weight_type::q5_k) {
        decode_q5_k(block, out);
    } else if constexpr (type == weight_type::q6_k) {
        decode_q6_k(block, out);
    } else {
        out.scales[0] = f16_at(block);
        if constexpr (type == weight_type::q8_0) {
            std::memcpy(out.values, block + 2, 32);
        } else if constexpr (type == weight_type::q4_0) {
            split_nibbles(block + 2, 8, out.values);
        } else if constexpr (type == weight_type::q4_1) {
            out.mins[0] = f16_at(block + 2);
            split_nibbles(block + 4, 0, out.values);
        } else if constexpr (type == weight_type::q5_0) {
            split_nibbles_and_bits(block + 6, block + 2, 16, out.values);
        } else {
            out.mins[0] = f16_at(block + 2);
            split_nibbles_and_bits(block + 8, block + 4, 0, out.values);
        }
    }
}

}  // namespace HWY_NAMESPACE
}  // namespace tmx::products
HWY_AFTER_NAMESPACE();

#endif
