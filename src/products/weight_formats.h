// What the kernels know of a weight format: how its blocks lie in memory, and how a row is rounded to go with it.
#pragma once

#include <cstdint>

#include "trianglemix/products.h"

namespace tmx::products {

// What becomes of a row's values, each as ggml's CPU code on x86-64 does it. The first three: 8-bit integers.
enum class rounding : uint8_t {
    q8_0,  // a scale of f16 for 32 values
    q8_1,  // the same, and an f16 sum of the rounded values, which the block's minimum is multiplied with
    q8_k,  // a scale of f32 for 256 values
    f16,
    bf16,
    i16,  // integers of 14 bits, a scale of f32 for 32 values
    none,
};

struct weight_format {
    const char * name;
    int64_t block_elems;
    int64_t block_bytes;
    int64_t group;  // values that share one scale (and minimum): 32 or 16
    bool has_min;   // value = scale * integer + min
    rounding row_rounding;
};

constexpr weight_format k_weight_formats[k_weight_types] = {
    {"q8_0", 32, 34, 32, false, rounding::q8_0},  {"q4_0", 32, 18, 32, false, rounding::q8_0},
    {"q4_1", 32, 20, 32, true, rounding::q8_1},   {"q5_0", 32, 22, 32, false, rounding::q8_0},
    {"q5_1", 32, 24, 32, true, rounding::q8_1},   {"q4_k", 256, 144, 32, true, rounding::q8_k},
    {"q5_k", 256, 176, 32, true, rounding::q8_k}, {"q6_k", 256, 210, 16, false, rounding::q8_k},
    {"f32", 1, 4, 1, false, rounding::none},      {"f16", 1, 2, 1, false, rounding::f16},
    {"bf16", 1, 2, 1, false, rounding::bf16},
};

constexpr bool is_quantised(weight_type type) {
    return k_weight_formats[static_cast<int>(type)].block_elems > 1;
}

constexpr const weight_format & format_of(weight_type type) {
    return k_weight_formats[static_cast<int>(type)];
}

constexpr rounding row_rounding_of(weight_type type, product_arithmetic arithmetic) {
    switch (arithmetic) {
        case product_arithmetic::f32:
            return rounding::none;
        case product_arithmetic::bf16:
            return rounding::bf16;
        case product_arithmetic::i16:
            return rounding::i16;
        case product_arithmetic::host:
            break;
    }
    return format_of(type).row_rounding;
}

constexpr int64_t k_i16_group = 32;

// Neighbours in depth that share a scale, once they are integers; 0: they are none.
constexpr int64_t scale_group(weight_type type, product_arithmetic arithmetic) {
    if (arithmetic == product_arithmetic::i16) {
        return k_i16_group;
    }
    return arithmetic == product_arithmetic::host && is_quantised(type) ? format_of(type).group : 0;
}

// Scales of a row, or of a column of weights.
constexpr int64_t n_scale_groups(const product_args & args) {
    const int64_t group = scale_group(args.type, args.arithmetic);
    return group == 0 ? 0 : (args.depth + group - 1) / group;
}

}  // namespace tmx::products
