// number_formats.h -- the storage formats of keys and values, read and written literally, one value at a time.
//
// Written apart from the kernels' conversions on purpose: a shared mistake would pass every test. Speed does not matter
// here. Encoders round to nearest, ties to even.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

namespace tmx::test {

// IEEE binary16: 1 sign, 5 exponent (bias 15), 10 mantissa bits.
inline float f16_to_f32(uint16_t bits) {
    const int exponent = (bits >> 10) & 0x1f;
    const int mantissa = bits & 0x3ff;
    float magnitude = 0;
    if (exponent == 0x1f) {
        magnitude = mantissa != 0 ? std::numeric_limits<float>::quiet_NaN() : std::numeric_limits<float>::infinity();
    } else if (exponent == 0) {
        magnitude = std::ldexp(static_cast<float>(mantissa), -24);
    } else {
        magnitude = std::ldexp(static_cast<float>(mantissa + 1024), exponent - 25);
    }
    return (bits & 0x8000) != 0 ? -magnitude : magnitude;
}

inline uint16_t f32_to_f16(float value) {
    const uint32_t bits = std::bit_cast<uint32_t>(value);
    const uint32_t sign = (bits >> 16) & 0x8000u;
    const uint32_t magnitude = bits & 0x7fffffffu;
    const float absolute = std::bit_cast<float>(magnitude);
    if (magnitude > 0x7f800000u) {
        return static_cast<uint16_t>(sign | 0x7e00u);
    }
    if (absolute >= 65520.0f) {  // half way between the largest finite f16 and the next step
        return static_cast<uint16_t>(sign | 0x7c00u);
    }
    if (absolute < 0x1p-14f) {  // subnormal: a count of 2^-24; a count of 1024 is the first normal number
        return static_cast<uint16_t>(sign | static_cast<uint32_t>(std::lrint(absolute * 0x1p24f)));
    }
    const uint32_t rounded = magnitude + 0xfffu + ((magnitude >> 13) & 1u);
    return static_cast<uint16_t>(sign | ((rounded >> 13) - ((127u - 15u) << 10)));
}

// bfloat16: the upper half of an f32.
inline float bf16_to_f32(uint16_t bits) {
    return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
}

inline uint16_t f32_to_bf16(float value) {
    const uint32_t bits = std::bit_cast<uint32_t>(value);
    if ((bits & 0x7fffffffu) > 0x7f800000u) {
        return static_cast<uint16_t>((bits >> 16) | 0x0040u);
    }
    return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

inline uint16_t read_u16(const uint8_t * bytes) {
    uint16_t value = 0;
    std::memcpy(&value, bytes, sizeof value);
    return value;
}

inline void write_u16(uint8_t * bytes, uint16_t value) {
    std::memcpy(bytes, &value, sizeof value);
}

// q8_0: f16 scale, then 32 signed bytes; value = byte * scale. 34 bytes.
inline float q8_0_value(const uint8_t * block, int index) {
    return f16_to_f32(read_u16(block)) * static_cast<float>(static_cast<int8_t>(block[2 + index]));
}

inline void q8_0_encode(uint8_t * block, const float * values) {
    float largest = 0;
    for (int i = 0; i < 32; ++i) {
        largest = std::fmax(largest, std::fabs(values[i]));
    }
    const float scale = largest / 127.0f;
    write_u16(block, f32_to_f16(scale));
    for (int i = 0; i < 32; ++i) {
        block[2 + i] = static_cast<uint8_t>(scale > 0 ? std::lrint(values[i] / scale) : 0);
    }
}

// q4_0: f16 scale, then 16 bytes: byte b holds value b in its low and value b + 16 in its high nibble;
// value = (nibble - 8) * scale. 18 bytes.
inline float q4_0_value(const uint8_t * block, int index) {
    const uint8_t byte = block[2 + index % 16];
    const int nibble = index < 16 ? byte & 0x0f : byte >> 4;
    return f16_to_f32(read_u16(block)) * static_cast<float>(nibble - 8);
}

inline void q4_0_encode(uint8_t * block, const float * values) {
    float extreme = 0;  // the value of largest magnitude maps to nibble 0, that is -8 * scale
    for (int i = 0; i < 32; ++i) {
        extreme = std::fabs(values[i]) > std::fabs(extreme) ? values[i] : extreme;
    }
    const float scale = extreme / -8.0f;
    write_u16(block, f32_to_f16(scale));
    const auto nibble = [&](float value) {
        const long step = scale != 0 ? std::lrint(value / scale) + 8 : 8;
        return static_cast<uint32_t>(step < 0 ? 0 : step > 15 ? 15 : step);
    };
    for (int i = 0; i < 16; ++i) {
        block[2 + i] = static_cast<uint8_t>(nibble(values[i]) | (nibble(values[i + 16]) << 4));
    }
}

}  // namespace tmx::test
