#include "trianglemix/block_bitmap.h"

namespace tmx {
namespace {

// ORs bits(rows, word) into every word.
template <typename F>
void add_bits(block_bitmap & bits, const F & more) {
    for (int64_t head = 0; head < bits.shape.n_head; ++head) {
        for (int64_t tile = 0; tile < bits.shape.n_tiles(); ++tile) {
            uint32_t * words = bits.of(head, tile);
            for (int64_t word = 0; word < bits.shape.n_words(); ++word) {
                words[word] |= more(bits.shape.rows_of(tile), word, bits.shape.block_keys);
            }
        }
    }
}

}  // namespace

void add_mandatory(block_bitmap & bits) {
    add_bits(bits, mandatory_bits);
}

void add_band(block_bitmap & bits, const band & kept) {
    add_bits(bits, [&](index_range rows, int64_t word, int64_t block_keys) {
        return band_bits(kept, rows, word, block_keys);
    });
}

block_bitmap join_groups(const block_bitmap & bits, int64_t n_head_kv) {
    block_bitmap joined({n_head_kv, bits.shape.ranks, bits.shape.block_keys});
    const int64_t group = bits.shape.n_head / n_head_kv;
    const int64_t head_words = bits.shape.n_tiles() * bits.shape.n_words();
    for (int64_t head = 0; head < bits.shape.n_head; ++head) {
        const uint32_t * from = bits.of(head, 0);
        uint32_t * to = joined.of(head / group, 0);
        for (int64_t word = 0; word < head_words; ++word) {
            to[word] |= from[word];
        }
    }
    return joined;
}

int64_t kept_pairs(const block_bitmap & bits) {
    const int64_t block_keys = bits.shape.block_keys;
    int64_t pairs = 0;
    for (int64_t head = 0; head < bits.shape.n_head; ++head) {
        for (int64_t tile = 0; tile < bits.shape.n_tiles(); ++tile) {
            const index_range rows = bits.shape.rows_of(tile);
            for (int64_t block = 0; block < blocks_of(rows, block_keys).end; ++block) {
                if (bits.keeps(head, tile, block)) {
                    pairs += causal_pairs(rows, {block * block_keys, (block + 1) * block_keys});
                }
            }
        }
    }
    return pairs;
}

}  // namespace tmx
