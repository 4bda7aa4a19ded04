// From what heads keep to all tiles' bits (line_bits.h).
#pragma once

#include "select/line_bits.h"

namespace tmx::cuda {

constexpr int k_word_threads = 256;

// A thread a word. lines: [head][verticals, distances][words].
__global__ void __launch_bounds__(k_word_threads)
    write_line_bits(const __grid_constant__ bitmap_shape shape, const uint32_t * lines, uint32_t * bits) {
    const int64_t at = int64_t{blockIdx.x} * k_word_threads + threadIdx.x;
    if (at >= shape.total_words()) {
        return;
    }
    const int64_t n_words = shape.n_words();
    const int64_t word = at % n_words;
    const int64_t tile = at / n_words % shape.n_tiles();
    const uint32_t * verticals = lines + at / n_words / shape.n_tiles() * 2 * n_words;
    bits[at] = line_bits(shape, verticals, verticals + n_words, tile, word) |
               mandatory_bits(shape.rows_of(tile), word, shape.block_keys);
}

inline unsigned word_blocks(int64_t n) {
    return static_cast<unsigned>((n + k_word_threads - 1) / k_word_threads);
}

}  // namespace tmx::cuda
