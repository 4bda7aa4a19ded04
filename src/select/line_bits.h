// From lines to bits, the same for every tile: a head that keeps verticals and slashes keeps, for each tile, the blocks
// of its verticals and the blocks that its slashes cross. Which of these a tile has depends only on how far the block
// lies behind the tile, so both are worked out once a head and written to all tiles.
//
// DISTANCE of a block from a tile: how many blocks it lies before that of the tile's first row. Blocks at negative
// distances hold the tile's own rows, and are kept by every selection.
#pragma once

#include <cstdint>

#include "trianglemix/block_bitmap.h"

namespace tmx {

// Where the first row of every tile of a segment lies in its block. (Tiles are a whole number of blocks long.)
TMX_HOST_DEVICE constexpr int64_t tile_phase(const bitmap_shape & shape) {
    return shape.ranks.begin % shape.block_keys;
}

// Distances of the blocks that the slashes [slashes.begin, slashes.end) cross in a tile of 128 rows; not empty. Row i
// of a tile at phase p meets slash s in the block at distance m iff 0 <= block_keys * m + p + i - s < block_keys.
TMX_HOST_DEVICE constexpr index_range crossed_distances(index_range slashes, int64_t phase, int64_t block_keys) {
    const int64_t least = slashes.begin - phase - (k_bitmap_rows - 1);
    return {larger(0, least + block_keys - 1) / block_keys,
            larger(0, slashes.end - 1 - phase + block_keys - 1) / block_keys + 1};
}

TMX_HOST_DEVICE constexpr uint32_t reversed(uint32_t bits) {
#ifdef __CUDA_ARCH__
    return __brev(bits);
#endif
    bits = (bits >> 1 & 0x55555555u) | (bits & 0x55555555u) << 1;
    bits = (bits >> 2 & 0x33333333u) | (bits & 0x33333333u) << 2;
    bits = (bits >> 4 & 0x0f0f0f0fu) | (bits & 0x0f0f0f0fu) << 4;
    bits = (bits >> 8 & 0x00ff00ffu) | (bits & 0x00ff00ffu) << 8;
    return bits >> 16 | bits << 16;
}

// Bits [begin, begin + 32) of a bitmap of n_words words; those outside of it are 0.
TMX_HOST_DEVICE constexpr uint32_t bits_from(const uint32_t * bitmap, int64_t n_words, int64_t begin) {
    const auto word = static_cast<int32_t>(begin >> 5);  // rounded down
    const auto shift = static_cast<int32_t>(begin & 31);
    const auto n = static_cast<int32_t>(n_words);
    const uint32_t low = word >= 0 && word < n ? bitmap[word] : 0;
    const uint32_t high = word >= -1 && word < n - 1 ? bitmap[word + 1] : 0;
    return shift == 0 ? low : low >> shift | high << (32 - shift);
}

// Word `word` of the bits of a tile with these blocks. `verticals`, `distances`: bitmaps of n_words words, over blocks
// and over distances.
TMX_HOST_DEVICE constexpr uint32_t line_bits(const tile_blocks & blocks, const uint32_t * verticals,
                                             const uint32_t * distances, int64_t n_words, int64_t word) {
    const int64_t nearest = blocks.own().begin - word * k_word_bits - (k_word_bits - 1);
    const uint32_t crossed = reversed(bits_from(distances, n_words, nearest));
    return (verticals[word] | crossed) & blocks.visible(static_cast<int32_t>(word));
}
TMX_HOST_DEVICE constexpr uint32_t line_bits(const bitmap_shape & shape, const uint32_t * verticals,
                                             const uint32_t * distances, int64_t tile, int64_t word) {
    return line_bits({shape.rows_of(tile), shape.block_keys}, verticals, distances, shape.n_words(), word);
}

}  // namespace tmx
