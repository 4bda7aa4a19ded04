// From what heads keep to all tiles' bits (line_bits.h), on the device.
#pragma once

#include <cuda_runtime_api.h>

#include "select/line_bits.h"

namespace tmx::cuda {

constexpr int k_word_threads = 256;
inline unsigned word_blocks(int64_t n) {
    return static_cast<unsigned>((n + k_word_threads - 1) / k_word_threads);
}

// Writes all words of a segment, with the mandatory bits. lines: [head][verticals, distances][words].
void write_line_bits(const bitmap_shape & shape, const uint32_t * lines, uint32_t * bits, cudaStream_t stream);

}  // namespace tmx::cuda
