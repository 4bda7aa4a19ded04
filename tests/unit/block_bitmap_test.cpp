// Bits of blocks against the pairs they stand for, one by one.
#include "trianglemix/block_bitmap.h"

#include <gtest/gtest.h>

#include <random>

namespace tmx {
namespace {

const bitmap_shape k_shapes[] = {{1, {0, 1}},       {2, {0, 128}},     {1, {0, 129}},
                                 {3, {37, 500}},    {2, {127, 128}},   {1, {128, 4100}},
                                 {2, {4095, 4350}}, {1, {8191, 8200}}, {4, {5000, 5000}}};

template <typename F>
void for_each_tile(const bitmap_shape & shape, const F & check) {
    for (int64_t tile = 0; tile < shape.n_tiles(); ++tile) {
        for (int64_t block = 0; block < shape.n_words() * k_word_bits; ++block) {
            check(tile, block);
        }
    }
}

bool bit_of(uint32_t word, int64_t block) {
    return (word >> (block % k_word_bits) & 1) != 0;
}

TEST(block_bitmap, tiles_cover_every_row_once) {
    for (const bitmap_shape & shape : k_shapes) {
        int64_t next = shape.ranks.begin;
        for (int64_t tile = 0; tile < shape.n_tiles(); ++tile) {
            const index_range rows = shape.rows_of(tile);
            EXPECT_EQ(next, rows.begin);
            EXPECT_FALSE(rows.empty());
            EXPECT_LE(rows.size(), k_bitmap_rows);
            next = rows.end;
        }
        EXPECT_EQ(next, shape.ranks.end);
        EXPECT_GE(shape.n_words() * k_word_bits * k_bitmap_keys, shape.ranks.end);
    }
}

TEST(block_bitmap, mandatory_and_visible_bits) {
    for (const bitmap_shape & shape : k_shapes) {
        for_each_tile(shape, [&](int64_t tile, int64_t block) {
            const index_range rows = shape.rows_of(tile);
            const int64_t first = block * k_bitmap_keys;
            const bool visible = first < rows.end;
            bool own = false;
            for (int64_t row = rows.begin; row < rows.end; ++row) {
                own = own || row / k_bitmap_keys == block;
            }
            const int64_t word = block / k_word_bits;
            EXPECT_EQ(visible, bit_of(visible_bits(rows, word), block));
            EXPECT_EQ(block == 0 || own, bit_of(mandatory_bits(rows, word), block));
        });
    }
}

TEST(block_bitmap, pairs_in_blocks_are_counted_one_by_one) {
    for (const bitmap_shape & shape : k_shapes) {
        std::mt19937 random(7);
        for (int64_t tile = 0; tile < shape.n_tiles(); ++tile) {
            const index_range rows = shape.rows_of(tile);
            int64_t n_blocks = 0;
            int64_t pairs = 0;
            for (int64_t block = 0; block * k_bitmap_keys < rows.end; ++block) {
                if (block * k_bitmap_keys < rows.begin / k_bitmap_keys * k_bitmap_keys && random() % 2 == 0) {
                    continue;
                }
                ++n_blocks;
                for (int64_t row = rows.begin; row < rows.end; ++row) {
                    for (int64_t key = block * k_bitmap_keys; key < (block + 1) * k_bitmap_keys; ++key) {
                        pairs += key <= row ? 1 : 0;
                    }
                }
            }
            EXPECT_EQ(pairs, pairs_in_blocks(rows, n_blocks)) << rows.begin << " " << rows.end;
        }
    }
}

TEST(block_bitmap, band_bits_are_the_blocks_of_kept_pairs) {
    for (const bitmap_shape & shape : k_shapes) {
        for (const band & kept : {band{}, band{8, 512}, band{0, 1}, band{200, 3}, band{4, 129}, band{5000, 7}}) {
            for_each_tile(shape, [&](int64_t tile, int64_t block) {
                const index_range rows = shape.rows_of(tile);
                bool any = false;
                for (int64_t row = rows.begin; row < rows.end && !any; ++row) {
                    for (int64_t key = block * k_bitmap_keys; key < (block + 1) * k_bitmap_keys && !any; ++key) {
                        any = keeps(kept, row, key);
                    }
                }
                EXPECT_EQ(any, bit_of(band_bits(kept, rows, block / k_word_bits), block))
                    << "window " << kept.n_window << " tile " << tile << " block " << block;
            });
        }
    }
}

TEST(block_bitmap, no_band_adds_nothing_to_what_is_mandatory) {
    for (const bitmap_shape & shape : k_shapes) {
        block_bitmap bits(shape);
        add_mandatory(bits);
        block_bitmap more = bits;
        add_band(more, k_no_band);
        EXPECT_EQ(bits.words, more.words);
    }
}

block_bitmap random_bits(const bitmap_shape & shape, unsigned seed) {
    std::mt19937 random(seed);
    block_bitmap bits(shape);
    for (int64_t head = 0; head < shape.n_head; ++head) {
        for (int64_t tile = 0; tile < shape.n_tiles(); ++tile) {
            for (int64_t word = 0; word < shape.n_words(); ++word) {
                bits.of(head, tile)[word] = static_cast<uint32_t>(random()) & visible_bits(shape.rows_of(tile), word);
            }
        }
    }
    add_mandatory(bits);
    return bits;
}

TEST(block_bitmap, groups_are_joined) {
    const block_bitmap bits = random_bits({6, {300, 900}}, 3);
    const block_bitmap joined = join_groups(bits, 2);
    EXPECT_EQ(2, joined.shape.n_head);
    for (int64_t tile = 0; tile < bits.shape.n_tiles(); ++tile) {
        for (int64_t block = 0; block < 8; ++block) {
            for (int64_t head_kv = 0; head_kv < 2; ++head_kv) {
                bool any = false;
                for (int64_t head = head_kv * 3; head < head_kv * 3 + 3; ++head) {
                    any = any || bits.keeps(head, tile, block);
                }
                EXPECT_EQ(any, joined.keeps(head_kv, tile, block));
            }
        }
    }
}

TEST(block_bitmap, pairs_are_counted) {
    for (const bitmap_shape & shape : k_shapes) {
        const block_bitmap bits = random_bits(shape, 5);
        int64_t pairs = 0;
        for (int64_t head = 0; head < shape.n_head; ++head) {
            for (int64_t tile = 0; tile < shape.n_tiles(); ++tile) {
                const index_range rows = shape.rows_of(tile);
                for (int64_t row = rows.begin; row < rows.end; ++row) {
                    for (int64_t key = 0; key <= row; ++key) {
                        pairs += bits.keeps(head, tile, key / k_bitmap_keys) ? 1 : 0;
                    }
                }
            }
        }
        EXPECT_EQ(pairs, kept_pairs(bits));
    }
}

TEST(geometry, causal_pairs_of_rows_and_a_stretch_of_keys) {
    for (int64_t row_begin = 0; row_begin < 12; ++row_begin) {
        for (int64_t row_end = row_begin; row_end < 12; ++row_end) {
            for (int64_t key_begin = 0; key_begin < 12; ++key_begin) {
                for (int64_t key_end = key_begin; key_end < 14; ++key_end) {
                    int64_t pairs = 0;
                    for (int64_t row = row_begin; row < row_end; ++row) {
                        for (int64_t key = key_begin; key < key_end; ++key) {
                            pairs += key <= row ? 1 : 0;
                        }
                    }
                    EXPECT_EQ(pairs, causal_pairs({row_begin, row_end}, {key_begin, key_end}));
                }
            }
        }
    }
}

}  // namespace
}  // namespace tmx
