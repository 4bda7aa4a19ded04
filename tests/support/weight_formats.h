// weight_formats.h -- ggml's block formats of weights, and the roundings of rows, read and written literally, one
// value at a time. Written apart from src/products on purpose: a shared mistake would pass every test.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include "number_formats.h"
#include "trianglemix/products.h"

namespace tmx::test {

struct scale_and_min {
    int scale;
    int min;
};

// q4_k, q5_k: eight pairs of six bits in twelve bytes. The first four pairs have a byte's lower six bits each; the
// upper two bits of those eight bytes, and the last four bytes' halves, make the other four.
inline scale_and_min six_bits(const uint8_t * bytes, int pair) {
    if (pair < 4) {
        return {bytes[pair] % 64, bytes[4 + pair] % 64};
    }
    const int low_scale = bytes[8 + pair - 4] % 16;
    const int low_min = bytes[8 + pair - 4] / 16;
    return {low_scale + 16 * (bytes[pair - 4] / 64), low_min + 16 * (bytes[pair] / 64)};
}

inline double in_bf16(float value) {
    return bf16_to_f32(f32_to_bf16(value));
}

// Value `index` of a block.
inline double weight_value(weight_type type, const uint8_t * block, int index) {
    const auto half = [&](int place) { return static_cast<double>(f16_to_f32(read_u16(block + place))); };
    const auto nibble = [&](int place) { return index % 32 < 16 ? block[place] % 16 : block[place] / 16; };
    const auto bit = [&](int place) { return block[place + index / 8] >> (index % 8) & 1; };
    switch (type) {
        case weight_type::q8_0:
            return half(0) * static_cast<int8_t>(block[2 + index]);
        case weight_type::q4_0:
            return half(0) * (nibble(2 + index % 16) - 8);
        case weight_type::q4_1:
            return half(0) * nibble(4 + index % 16) + half(2);
        case weight_type::q5_0:
            return half(0) * (nibble(6 + index % 16) + 16 * bit(2) - 16);
        case weight_type::q5_1:
            return half(0) * (nibble(8 + index % 16) + 16 * bit(4)) + half(2);
        case weight_type::q4_k:
        case weight_type::q5_k: {
            const scale_and_min found = six_bits(block + 4, index / 32);
            const int first = type == weight_type::q4_k ? 16 : 48;
            const uint8_t byte = block[first + index / 64 * 32 + index % 32];
            int value = index / 32 % 2 == 0 ? byte % 16 : byte / 16;
            if (type == weight_type::q5_k) {
                value += 16 * (block[16 + index % 32] >> (index / 32) & 1);
            }
            return half(0) * found.scale * value - half(2) * found.min;
        }
        case weight_type::q6_k: {
            const int in_half = index % 128;
            const uint8_t low = block[index / 128 * 64 + in_half % 64];
            const int upper = block[128 + index / 128 * 32 + in_half % 32] >> (in_half / 32 * 2) & 3;
            const int value = (in_half < 64 ? low % 16 : low / 16) + 16 * upper - 32;
            return half(208) * static_cast<int8_t>(block[192 + index / 16]) * value;
        }
        case weight_type::f32: {
            float value = 0;
            std::memcpy(&value, block, sizeof(value));
            return value;
        }
        case weight_type::f16:
            return half(0);
        case weight_type::bf16:
            return bf16_to_f32(read_u16(block));
    }
    return 0;
}

// A row as it is rounded for a product: what each value becomes, and what is multiplied with
// the minimum of a group of 32 (the sum of its values, which q8_1 rounds once more).
struct rounded_row {
    std::vector<double> values;
    std::vector<double> sums;
};

inline rounded_row round_in_blocks(weight_type type, const float * row, int64_t depth) {
    const bool k_type = weight_block_elems(type) == 256;
    const bool sums_in_f16 = type == weight_type::q4_1 || type == weight_type::q5_1;
    const int64_t block = k_type ? 256 : 32;
    rounded_row result;
    for (int64_t begin = 0; begin < depth; begin += block) {
        float extreme = 0;
        for (int64_t i = begin; i < begin + block; ++i) {
            extreme = std::fabs(row[i]) > std::fabs(extreme) ? row[i] : extreme;
        }
        float factor = 0;
        float exact_scale = 0;
        if (extreme != 0 && k_type) {
            factor = -127.0f / extreme;
            exact_scale = 1.0f / factor;
        } else if (extreme != 0) {
            factor = 127.0f / std::fabs(extreme);
            exact_scale = std::fabs(extreme) / 127.0f;
        }
        const double scale = k_type ? exact_scale : f16_to_f32(f32_to_f16(exact_scale));
        int sum = 0;
        for (int64_t i = begin; i < begin + block; ++i) {
            const float scaled = factor * row[i];  // rounded to f32 before it is rounded to an integer
            const int value = static_cast<int>(std::fmin(127.0f, std::nearbyintf(scaled)));
            result.values.push_back(scale * value);
            sum += value;
            if (i % 32 == 31) {
                const float product = exact_scale * static_cast<float>(sum);
                result.sums.push_back(sums_in_f16 ? f16_to_f32(f32_to_f16(product)) : product);
                sum = 0;
            }
        }
    }
    return result;
}

// To integers of 14 bits with a scale for each 32 values.
inline std::vector<double> in_i16(const std::vector<float> & values) {
    std::vector<double> result;
    for (size_t begin = 0; begin < values.size(); begin += 32) {
        const size_t end = std::min(values.size(), begin + 32);
        float largest = 0;
        for (size_t i = begin; i < end; ++i) {
            largest = std::max(largest, std::fabs(values[i]));
        }
        const double scale = std::max(largest / 8191.0f, 0x1p-126f);
        const double factor = std::min(8191.0f / largest, 0x1p126f);
        for (size_t i = begin; i < end; ++i) {
            result.push_back(scale * std::nearbyint(factor * static_cast<double>(values[i])));
        }
    }
    return result;
}

// As ggml's CPU code on x86-64 does it for these weights, or to bf16 or i16, or not at all.
inline rounded_row round_row(weight_type type, product_arithmetic arithmetic, const float * row, int64_t depth) {
    if (arithmetic == product_arithmetic::host && weight_block_elems(type) > 1) {
        return round_in_blocks(type, row, depth);
    }
    const bool host = arithmetic == product_arithmetic::host;
    const bool to_bf16 = arithmetic == product_arithmetic::bf16 || (host && type == weight_type::bf16);
    rounded_row result;
    result.sums.resize(static_cast<size_t>(depth / 32 + 1));
    if (arithmetic == product_arithmetic::i16) {
        result.values = in_i16({row, row + depth});
        return result;
    }
    for (int64_t i = 0; i < depth; ++i) {
        double value = row[i];
        if (to_bf16) {
            value = in_bf16(row[i]);
        } else if (host && type == weight_type::f16) {
            value = f16_to_f32(f32_to_f16(row[i]));
        }
        result.values.push_back(value);
    }
    return result;
}

}  // namespace tmx::test
