// Why the CPU device does not claim a matrix product.
#pragma once

#include <cstdint>

namespace tmx {

// The names appear in statistics and docs/products.md.
enum class product_decline : uint8_t {
    rows,      // fewer rows, or rows an expert, than the bound: decoding, and the short rests of prompts
    weights,   // weights of a type that the kernels do not read, or no faster than the host
    types,     // rows or result not f32
    layout,    // values of a row, a weight's row or a result's row not contiguous, strides not whole elements
    memory,    // weights not in plain host memory: repacked by the host, or on another device
    gpu,       // the host has a GPU, and sends products of many rows there even where the weights stay in its memory
    computed,  // weights that are a result or a view: keys and values, say
    hint,      // the host says that it has something better than a product (a Hadamard transform)
};
constexpr int k_product_declines = 8;
const char * to_string(product_decline reason);

}  // namespace tmx
