// The closed forms of geometry.h against loops over single pairs. The definition is written here a second time, apart
// from the code under test.
#include "trianglemix/geometry.h"

#include <gtest/gtest.h>

#include <vector>

namespace tmx {
namespace {

constexpr int64_t k_n = 13;  // ranks 0..12: small enough for all combinations, larger than every window used below

bool pair_is_kept(int64_t n_sink, int64_t n_window, int64_t i, int64_t j) {
    if (j > i) {
        return false;
    }
    const bool is_sink = j < n_sink;
    const bool is_recent = i - j < n_window;
    return is_sink || is_recent;
}

// Every band with sinks and windows from nothing to more than k_n, and the dense one.
std::vector<band> all_bands() {
    std::vector<band> bands = {band{}};
    for (int64_t n_sink = 0; n_sink <= k_n + 2; ++n_sink) {
        for (int64_t n_window = 1; n_window <= k_n + 2; ++n_window) {
            bands.push_back({n_sink, n_window});
        }
        bands.push_back({n_sink, std::numeric_limits<int64_t>::max()});
    }
    return bands;
}

// Every range of ranks below k_n that is not empty.
std::vector<index_range> all_ranges() {
    std::vector<index_range> ranges;
    for (int64_t begin = 0; begin < k_n; ++begin) {
        for (int64_t end = begin + 1; end <= k_n; ++end) {
            ranges.push_back({begin, end});
        }
    }
    return ranges;
}

std::string text_of(const band & b, index_range rows) {
    return "sink " + std::to_string(b.n_sink) + " window " + std::to_string(b.n_window) + " rows [" +
           std::to_string(rows.begin) + ", " + std::to_string(rows.end) + ")";
}

TEST(geometry, a_pair_is_kept_by_definition) {
    for (const band & b : all_bands()) {
        for (int64_t i = 0; i < k_n; ++i) {
            for (int64_t j = -2; j < k_n + 2; ++j) {
                const bool expected = j >= 0 && pair_is_kept(b.n_sink, b.n_window, i, j);
                ASSERT_EQ(keeps(b, i, j), expected) << text_of(b, {i, i + 1}) << " key " << j;
            }
        }
    }
}

TEST(geometry, the_window_begins_at_its_first_key) {
    for (const band & b : all_bands()) {
        for (int64_t i = 0; i < k_n; ++i) {
            int64_t first = i;
            while (first > 0 && i - (first - 1) < b.n_window) {
                --first;
            }
            ASSERT_EQ(window_begin(b, i), first) << text_of(b, {i, i + 1});
        }
    }
}

TEST(geometry, a_row_always_keeps_itself) {
    for (const band & b : all_bands()) {
        for (int64_t i = 0; i < k_n; ++i) {
            ASSERT_TRUE(keeps(b, i, i)) << text_of(b, {i, i + 1});
        }
    }
}

TEST(geometry, visited_keys_are_the_exact_union) {
    for (const band & b : all_bands()) {
        for (const index_range rows : all_ranges()) {
            const key_ranges visited = visited_keys(b, rows);
            for (int64_t j = 0; j < k_n + 3; ++j) {
                bool kept = false;
                for (int64_t i = rows.begin; i < rows.end; ++i) {
                    kept = kept || pair_is_kept(b.n_sink, b.n_window, i, j);
                }
                const int n_visits = (j >= visited.sink.begin && j < visited.sink.end ? 1 : 0) +
                                     (j >= visited.window.begin && j < visited.window.end ? 1 : 0);
                ASSERT_EQ(n_visits, kept ? 1 : 0) << text_of(b, rows) << " key " << j;
            }
        }
    }
}

TEST(geometry, touching_ranges_are_merged_and_apart_ones_have_a_gap) {
    for (const band & b : all_bands()) {
        for (const index_range rows : all_ranges()) {
            const key_ranges visited = visited_keys(b, rows);
            ASSERT_FALSE(visited.window.empty()) << text_of(b, rows);
            if (!visited.sink.empty()) {
                ASSERT_EQ(visited.sink.begin, 0) << text_of(b, rows);
                ASSERT_LT(visited.sink.end, visited.window.begin) << text_of(b, rows);
            }
        }
    }
}

TEST(geometry, cover_says_what_a_tile_holds) {
    for (const band & b : all_bands()) {
        for (const index_range rows : all_ranges()) {
            for (const index_range keys : all_ranges()) {
                int64_t n_kept = 0;
                for (int64_t i = rows.begin; i < rows.end; ++i) {
                    for (int64_t j = keys.begin; j < keys.end; ++j) {
                        n_kept += pair_is_kept(b.n_sink, b.n_window, i, j) ? 1 : 0;
                    }
                }
                tile_cover expected = tile_cover::partial;
                if (n_kept == 0) {
                    expected = tile_cover::none;
                } else if (n_kept == rows.size() * keys.size()) {
                    expected = tile_cover::full;
                }
                ASSERT_EQ(cover(b, rows, keys), expected)
                    << text_of(b, rows) << " keys [" << keys.begin << ", " << keys.end << ") keep " << n_kept;
            }
        }
    }
}

TEST(geometry, kept_pairs_equal_a_count) {
    for (const band & b : all_bands()) {
        ASSERT_EQ(kept_pairs(b, {4, 4}), 0) << text_of(b, {4, 4});
        for (const index_range rows : all_ranges()) {
            int64_t n_kept = 0;
            for (int64_t i = rows.begin; i < rows.end; ++i) {
                for (int64_t j = 0; j <= i; ++j) {
                    n_kept += pair_is_kept(b.n_sink, b.n_window, i, j) ? 1 : 0;
                }
            }
            ASSERT_EQ(kept_pairs(b, rows), n_kept) << text_of(b, rows);
        }
    }
}

// Sizes of real prompts, where a 32-bit product would overflow: each row's count is summed instead of each pair's.
TEST(geometry, kept_pairs_hold_at_a_million_rows) {
    for (const int64_t n : {int64_t{7639}, int64_t{131072}, int64_t{1} << 20}) {
        for (const band b : {band{8, 512}, band{0, 1}, band{4096, 512}, band{512, 4096}, band{}}) {
            const index_range rows{n / 3, n};
            int64_t expected = 0;
            for (int64_t i = rows.begin; i < rows.end; ++i) {
                const int64_t in_window = b.n_window < i + 1 ? b.n_window : i + 1;
                const int64_t before_window = i + 1 - in_window;
                expected += in_window + (b.n_sink < before_window ? b.n_sink : before_window);
            }
            ASSERT_EQ(kept_pairs(b, rows), expected) << text_of(b, rows);
        }
    }
}

// The largest sizes the plan format lets through must not overflow.
TEST(geometry, extreme_sizes_do_not_overflow) {
    constexpr int64_t k_max = std::numeric_limits<int32_t>::max();
    const index_range rows{0, 1 << 20};
    const int64_t dense = (int64_t{1} << 20) * ((int64_t{1} << 20) + 1) / 2;
    EXPECT_EQ(kept_pairs({k_max, 1}, rows), dense);
    EXPECT_EQ(kept_pairs({0, k_max}, rows), dense);
    EXPECT_EQ(kept_pairs({k_max, k_max}, rows), dense);
    EXPECT_EQ(kept_pairs({0, 1}, {0, k_max}), k_max);
    EXPECT_EQ(kept_pairs({}, {0, k_max}), k_max * (k_max + 1) / 2);
}

TEST(geometry, work_counts_pairs_bytes_and_rows) {
    constexpr int64_t n_head = 6, n_head_kv = 2, d_qk = 5, d_v = 3;
    constexpr double kv_bytes_per_elem = 1.0625;  // q8_0: 34 bytes for 32 values
    for (const band & b : all_bands()) {
        for (const index_range rows : all_ranges()) {
            double n_kept = 0;
            double n_keys = 0;
            for (int64_t j = 0; j < k_n; ++j) {
                bool visited = false;
                for (int64_t i = rows.begin; i < rows.end; ++i) {
                    const bool kept = pair_is_kept(b.n_sink, b.n_window, i, j);
                    n_kept += kept ? 1 : 0;
                    visited = visited || kept;
                }
                n_keys += visited ? 1 : 0;
            }
            const work_count work = count_work(b, rows, n_head, n_head_kv, d_qk, d_v, kv_bytes_per_elem);
            // Per pair and query head: d_qk products for the logit, d_v for the output, 2 FLOP each.
            ASSERT_DOUBLE_EQ(work.flops, n_kept * 6 * (2 * 5 + 2 * 3)) << text_of(b, rows);
            ASSERT_DOUBLE_EQ(work.kv_bytes, n_keys * 2 * (5 + 3) * 1.0625) << text_of(b, rows);
            ASSERT_DOUBLE_EQ(work.query_bytes, static_cast<double>(rows.end - rows.begin) * 6 * (5 + 3) * 4)
                << text_of(b, rows);
        }
    }
    const work_count nothing = count_work({8, 512}, {3, 3}, n_head, n_head_kv, d_qk, d_v, 2);
    EXPECT_EQ(nothing.flops, 0);
    EXPECT_EQ(nothing.kv_bytes, 0);
    EXPECT_EQ(nothing.query_bytes, 0);
}

// The arithmetic is usable at compile time, which is how device code takes it.
static_assert(keeps(band{8, 512}, 1000, 7) && !keeps(band{8, 512}, 1000, 8));
static_assert(!keeps(band{8, 512}, 1000, 488) && keeps(band{8, 512}, 1000, 489));
static_assert(cover(band{8, 512}, {1024, 1088}, {64, 128}) == tile_cover::none);
static_assert(band{}.dense() && !band{8, 512}.dense());

}  // namespace
}  // namespace tmx
