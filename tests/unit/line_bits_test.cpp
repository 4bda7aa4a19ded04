// Bits of verticals and slashes against the rows and keys that they stand for, row by row.
#include "select/line_bits.h"

#include <gtest/gtest.h>

#include <random>
#include <set>
#include <vector>

namespace tmx {
namespace {

TEST(line_bits, windows_of_a_bitmap) {
    const std::vector<uint32_t> words = {0x80000001u, 0xf0f0f0f0u, 0x00000003u};
    for (int64_t begin = -100; begin < 200; ++begin) {
        uint32_t expected = 0;
        for (int64_t bit = 0; bit < 32; ++bit) {
            const int64_t at = begin + bit;
            if (at >= 0 && at < 96 && (words[static_cast<size_t>(at / 32)] >> (at % 32) & 1) != 0) {
                expected |= uint32_t{1} << bit;
            }
        }
        ASSERT_EQ(expected, bits_from(words.data(), 3, begin)) << begin;
        EXPECT_EQ(expected, reversed(reversed(expected)));
    }
    EXPECT_EQ(0x80000000u, reversed(1));
    EXPECT_EQ(0x0000000au, reversed(0x50000000u));
}

// 20,000 random shapes; of each, some tiles and blocks.
TEST(line_bits, are_those_of_every_row) {
    std::mt19937_64 random(8);
    for (int i = 0; i < 20000; ++i) {
        const int64_t keys = random() % 2 == 0 ? 16 : 128;
        const auto rank_begin = static_cast<int64_t>(random() % 700);
        const auto n_rows = static_cast<int64_t>(random() % 300) + 1;
        const bitmap_shape shape{1, {rank_begin, rank_begin + n_rows}, keys};
        std::set<int64_t> slashes;
        std::vector<uint32_t> distances(static_cast<size_t>(shape.n_words()));
        std::vector<uint32_t> verticals(distances.size());
        for (uint64_t j = random() % 4; j > 0; --j) {
            const auto slash = static_cast<int64_t>(random() % static_cast<uint64_t>(shape.ranks.end));
            slashes.insert(slash);
            const index_range crossed = crossed_distances({slash, slash + 1}, tile_phase(shape), keys);
            ASSERT_FALSE(crossed.empty());
            for (int64_t m = crossed.begin; m < crossed.end && m < shape.n_words() * 32; ++m) {
                distances[static_cast<size_t>(m / 32)] |= uint32_t{1} << (m % 32);
            }
        }
        const auto vertical = static_cast<int64_t>(random() % static_cast<uint64_t>(shape.ranks.end)) / keys;
        verticals[static_cast<size_t>(vertical / 32)] |= uint32_t{1} << (vertical % 32);
        for (int j = 0; j < 4; ++j) {
            const auto tile = static_cast<int64_t>(random() % static_cast<uint64_t>(shape.n_tiles()));
            const index_range rows = shape.rows_of(tile);
            const auto block = static_cast<int64_t>(random() % static_cast<uint64_t>((rows.end - 1) / keys + 1));
            bool kept = block == vertical;
            // Blocks of the tile's own rows are kept by whoever selects.
            const bool own = block >= rows.begin / keys;
            for (const int64_t slash : slashes) {
                for (int64_t row = rows.begin; row < rows.begin + 128 && !kept; ++row) {
                    const int64_t key = row - slash;
                    kept = key >= block * keys && key < block * keys + keys;
                }
            }
            const uint32_t word = line_bits(shape, verticals.data(), distances.data(), tile, block / 32);
            if (!own) {
                ASSERT_EQ(kept, (word >> (block % 32) & 1) != 0)
                    << keys << ": rows from " << rank_begin << ", tile " << tile << ", block " << block;
            }
            ASSERT_EQ(0u, word & ~visible_bits(rows, block / 32, keys));
        }
    }
}

}  // namespace
}  // namespace tmx
