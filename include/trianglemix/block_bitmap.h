// trianglemix/block_bitmap.h -- which blocks of keys each tile of rows keeps, one bit a block: what selection writes
// and walks are made of. Beside geometry.h the only file that knows which pairs are kept; host and device ask it alike.
//
// Block b holds the ranks [128 b, 128 b + 128), wherever a chunk begins; or, of fine bits, [16 b, 16 b + 16). A
// segment's rows are cut into tiles of 128 from its first row on; a tile's rows share their blocks, each row keeps the
// keys of them up to its own.
//
// THREADS  Pure functions of their arguments.
#pragma once

#include <cstdint>
#include <vector>

#include "trianglemix/geometry.h"

namespace tmx {

constexpr int64_t k_bitmap_keys = 128;  // of a block
constexpr int64_t k_fine_keys = 16;     // of a block of fine bits
constexpr int64_t k_bitmap_rows = 128;  // of a tile
constexpr int64_t k_word_bits = 32;

// The block that holds a key. Divisions are for other sizes than those of bits: on a device one takes a hundred
// instructions.
TMX_HOST_DEVICE constexpr int64_t block_of(int64_t key, int64_t block_keys) {
    return block_keys == k_fine_keys     ? key / k_fine_keys
           : block_keys == k_bitmap_keys ? key / k_bitmap_keys
                                         : key / block_keys;
}

// The bits of one segment: [head][tile][word]; bit b % 32 of word b / 32 is block b. Bits of blocks that begin behind
// the tile's last row are 0.
struct bitmap_shape {
    int64_t n_head = 0;
    index_range ranks;                   // of the segment's rows
    int64_t block_keys = k_bitmap_keys;  // or k_fine_keys

    TMX_HOST_DEVICE constexpr int64_t n_tiles() const { return (ranks.size() + k_bitmap_rows - 1) / k_bitmap_rows; }
    TMX_HOST_DEVICE constexpr int64_t n_words() const {
        return block_of(ranks.end + block_keys * k_word_bits - 1, block_keys) / k_word_bits;
    }
    TMX_HOST_DEVICE constexpr int64_t first_word(int64_t head, int64_t tile) const {
        return (head * n_tiles() + tile) * n_words();
    }
    TMX_HOST_DEVICE constexpr int64_t total_words() const { return n_head * n_tiles() * n_words(); }

    // Ranks of a tile's rows.
    TMX_HOST_DEVICE constexpr index_range rows_of(int64_t tile) const {
        const int64_t begin = ranks.begin + tile * k_bitmap_rows;
        return {begin, smaller(begin + k_bitmap_rows, ranks.end)};
    }
};

// Blocks that hold a key of [keys.begin, keys.end).
TMX_HOST_DEVICE constexpr index_range blocks_of(index_range keys, int64_t block_keys = k_bitmap_keys) {
    return keys.empty() ? index_range{}
                        : index_range{block_of(keys.begin, block_keys), block_of(keys.end - 1, block_keys) + 1};
}

// The bits of blocks [blocks.begin, blocks.end) in word `word`.
TMX_HOST_DEVICE constexpr uint32_t range_bits(index_range blocks, int64_t word) {
    const int64_t first = word * k_word_bits;
    const int64_t begin = larger(blocks.begin - first, 0);
    const int64_t end = smaller(blocks.end - first, k_word_bits);
    if (begin >= end) {
        return 0;
    }
    return (~uint32_t{0} >> (k_word_bits - (end - begin))) << begin;
}

// What follows is word `word` of a tile with rows of ranks [rows.begin, rows.end), not empty.

// Blocks that a row can see at all.
TMX_HOST_DEVICE constexpr uint32_t visible_bits(index_range rows, int64_t word, int64_t block_keys = k_bitmap_keys) {
    return range_bits({0, blocks_of(rows, block_keys).end}, word);
}

// Blocks that every selection keeps: the first one, and those of the rows' own keys.
TMX_HOST_DEVICE constexpr uint32_t mandatory_bits(index_range rows, int64_t word, int64_t block_keys = k_bitmap_keys) {
    return range_bits({0, 1}, word) | range_bits(blocks_of(rows, block_keys), word);
}

// Blocks of which some row keeps a key through the band.
TMX_HOST_DEVICE constexpr uint32_t band_bits(const band & kept, index_range rows, int64_t word,
                                             int64_t block_keys = k_bitmap_keys) {
    const key_ranges keys = visited_keys(kept, rows);
    return range_bits(blocks_of(keys.sink, block_keys), word) | range_bits(blocks_of(keys.window, block_keys), word);
}

// The same for all words of a tile: to find its blocks takes divisions, so that is done once, and their numbers are
// counted in 32 bits, as a device does it for every word of every tile.
class tile_blocks {
  public:
    TMX_HOST_DEVICE constexpr tile_blocks(index_range rows, int64_t block_keys) : own_(blocks_of(rows, block_keys)) {}
    TMX_HOST_DEVICE constexpr tile_blocks(index_range rows, int64_t block_keys, const band & kept)
        : own_(blocks_of(rows, block_keys)) {
        const key_ranges keys = visited_keys(kept, rows);
        sink_ = blocks(blocks_of(keys.sink, block_keys));
        window_ = blocks(blocks_of(keys.window, block_keys));
    }

    TMX_HOST_DEVICE constexpr index_range own() const { return {own_.begin, own_.end}; }
    TMX_HOST_DEVICE constexpr uint32_t visible(int32_t word) const { return blocks(0, own_.end).bits(word); }
    // Mandatory ones, and those of the band.
    TMX_HOST_DEVICE constexpr uint32_t forced(int32_t word) const {
        return (word == 0 ? 1 : 0) | own_.bits(word) | sink_.bits(word) | window_.bits(word);
    }

  private:
    struct blocks {
        int32_t begin = 0;
        int32_t end = 0;

        constexpr blocks() = default;
        TMX_HOST_DEVICE constexpr blocks(int32_t from, int32_t to) : begin(from), end(to) {}
        TMX_HOST_DEVICE explicit constexpr blocks(index_range range)
            : begin(static_cast<int32_t>(range.begin)), end(static_cast<int32_t>(range.end)) {}
        // range_bits() of them.
        TMX_HOST_DEVICE constexpr uint32_t bits(int32_t word) const {
            constexpr auto k_bits = static_cast<int32_t>(k_word_bits);
            const int32_t first = word * k_bits;
            const int32_t from = begin < first ? 0 : begin - first;
            const int32_t to = end - first < k_bits ? end - first : k_bits;
            return from < to ? ~uint32_t{0} >> (k_bits - (to - from)) << from : 0;
        }
    };
    blocks own_;  // of the rows' own keys
    blocks sink_, window_;
};

// Causal pairs of a tile's rows and `n_blocks` blocks that begin before its end. REQUIRES those of the rows' own keys
// among them.
TMX_HOST_DEVICE constexpr int64_t pairs_in_blocks(index_range rows, int64_t n_blocks,
                                                  int64_t block_keys = k_bitmap_keys) {
    const index_range own = blocks_of(rows, block_keys);
    const int64_t before = n_blocks - own.size();  // each row sees all keys of those
    const int64_t first = own.begin * block_keys;
    return rows.size() * (before * block_keys - first) + rows.size() * (rows.begin + rows.end + 1) / 2;
}

// Word `word` of the fine bits of a tile whose words of blocks of 128 keys are `coarse`.
TMX_HOST_DEVICE constexpr uint32_t fine_bits(const uint32_t * coarse, int64_t word) {
    constexpr int64_t k_parts = k_bitmap_keys / k_fine_keys;  // fine blocks of a block
    constexpr int64_t k_blocks = k_word_bits / k_parts;       // blocks of a word of fine bits
    const uint32_t blocks = coarse[word * k_blocks / k_word_bits] >> (word * k_blocks % k_word_bits);
    uint32_t bits = 0;
    for (int64_t block = 0; block < k_blocks; ++block) {
        bits |= (blocks >> block & 1) * range_bits({block * k_parts, (block + 1) * k_parts}, 0);
    }
    return bits;
}

// A band that adds nothing to what every selection keeps.
constexpr band k_no_band{0, 1};

// The bits of one segment in host memory, all 0 at first.
struct block_bitmap {
    bitmap_shape shape;
    std::vector<uint32_t> words;

    explicit block_bitmap(const bitmap_shape & s) : shape(s), words(static_cast<size_t>(s.total_words())) {}

    uint32_t * of(int64_t head, int64_t tile) { return words.data() + shape.first_word(head, tile); }
    const uint32_t * of(int64_t head, int64_t tile) const { return words.data() + shape.first_word(head, tile); }
    bool keeps(int64_t head, int64_t tile, int64_t block) const {
        return (of(head, tile)[block / k_word_bits] >> (block % k_word_bits) & 1) != 0;
    }
};

// Sets the mandatory bits of every tile and head.
void add_mandatory(block_bitmap & bits);
// Adds what a band keeps: Triangle and selection in one layer.
void add_band(block_bitmap & bits, const band & kept);
// The union over the query heads of each key head: one "head" a key head. REQUIRES n_head a multiple of n_head_kv.
block_bitmap join_groups(const block_bitmap & bits, int64_t n_head_kv);

// Causal pairs in the kept blocks, over all heads.
int64_t kept_pairs(const block_bitmap & bits);

}  // namespace tmx
