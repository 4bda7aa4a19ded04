#include "select/cuda/line_words.h"

namespace tmx::cuda {
namespace {

constexpr int k_warp = 32;

// A warp a tile of a head, a lane every 32nd word.
__global__ void __launch_bounds__(k_word_threads)
    line_bits_kernel(const __grid_constant__ bitmap_shape shape, const uint32_t * lines, uint32_t * bits) {
    const int64_t tile = int64_t{blockIdx.x} * (k_word_threads / k_warp) + threadIdx.x / k_warp;
    if (tile >= shape.n_tiles()) {
        return;
    }
    const auto n_words = static_cast<int32_t>(shape.n_words());
    const tile_blocks blocks(shape.rows_of(tile), shape.block_keys);
    const uint32_t * verticals = lines + int64_t{blockIdx.y} * 2 * n_words;
    uint32_t * words = bits + shape.first_word(blockIdx.y, tile);
    for (auto word = static_cast<int32_t>(threadIdx.x % k_warp); word < n_words; word += k_warp) {
        words[word] = line_bits(blocks, verticals, verticals + n_words, n_words, word) | blocks.forced(word);
    }
}

}  // namespace

void write_line_bits(const bitmap_shape & shape, const uint32_t * lines, uint32_t * bits, cudaStream_t stream) {
    const dim3 grid(word_blocks(shape.n_tiles() * k_warp), static_cast<unsigned>(shape.n_head));
    line_bits_kernel<<<grid, k_word_threads, 0, stream>>>(shape, lines, bits);
}

}  // namespace tmx::cuda
