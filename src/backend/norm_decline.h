// Why the CPU device does not claim a norm of rows.
#pragma once

#include <cstdint>

namespace tmx {

// The names appear in statistics and docs/products.md.
enum class norm_decline : uint8_t {
    rows,    // fewer tokens than the least bound of a product: decoding, and the short rests of prompts
    types,   // rows, result or weights not f32
    layout,  // values of a row not contiguous, strides not whole values
    memory,  // weights not in plain host memory
    gpu,     // the host has a GPU, which computes the nodes around it
};
constexpr int k_norm_declines = 5;
const char * to_string(norm_decline reason);

}  // namespace tmx
