#include "select/cuda/line_words.h"

namespace tmx::cuda {
namespace {

// A thread a word.
__global__ void __launch_bounds__(k_word_threads)
    line_bits_kernel(const __grid_constant__ bitmap_shape shape, const uint32_t * lines, uint32_t * bits) {
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

}  // namespace

void write_line_bits(const bitmap_shape & shape, const uint32_t * lines, uint32_t * bits, cudaStream_t stream) {
    line_bits_kernel<<<word_blocks(shape.total_words()), k_word_threads, 0, stream>>>(shape, lines, bits);
}

}  // namespace tmx::cuda
