// Rounding to bf16, where no instruction does it.
#pragma once

#include <bit>
#include <cstdint>

namespace tmx::products {

// To nearest, ties to even. NaN may become an infinity.
inline uint16_t to_bf16(float x) {
    const auto bits = std::bit_cast<uint32_t>(x);
    return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

inline float from_bf16(uint16_t x) {
    return std::bit_cast<float>(static_cast<uint32_t>(x) << 16);
}

}  // namespace tmx::products
