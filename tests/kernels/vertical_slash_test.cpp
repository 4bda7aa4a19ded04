// Method vertical_slash on the CPU: worked examples, its lines against an oracle, and what every budget owes.
#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <set>
#include <vector>

#include "problem.h"
#include "select/cpu/vertical_slash.h"
#include "vertical_slash_oracle.h"

namespace tmx::test {
namespace {

struct merged {
    std::vector<int64_t> strips;
    std::vector<int64_t> columns;
};

merged merge(int64_t block, int64_t keys, const std::vector<int32_t> & slashes,
             const std::vector<int32_t> & verticals) {
    merged result;
    merge_lines(
        {block * keys, block * keys + keys}, rising_lines(slashes, true), rising_lines(verticals, false),
        [&](int64_t first) { result.strips.push_back(first); }, [&](int64_t key) { result.columns.push_back(key); });
    return result;
}

// Blocks of 4, 32 rows.
TEST(vertical_slash, merges_the_worked_example) {
    using list = std::vector<int64_t>;
    const list strips[] = {{0},         {2, 6},          {0, 6, 10},      {2, 10, 14},
                           {6, 14, 18}, {0, 10, 18, 22}, {3, 14, 22, 26}, {7, 18, 26, 30}};
    const list columns[] = {{}, {0, 1}, {}, {0, 1, 9}, {0, 1}, {9}, {0, 1, 9}, {0, 1}};
    for (int64_t block = 0; block < 8; ++block) {
        const merged found = merge(block, 4, {0, 1, 2, 10, 21}, {0, 1, 9});
        EXPECT_EQ(strips[block], found.strips) << block;
        EXPECT_EQ(columns[block], found.columns) << block;
    }
}

TEST(vertical_slash, merged_lines_show_every_key_once) {
    std::mt19937 random(5);
    for (int i = 0; i < 20000; ++i) {
        const int64_t keys = int64_t{2} << random() % 3;
        const int64_t n = keys * (1 + static_cast<int64_t>(random() % 8));
        std::set<int32_t> slashes = {0};
        std::set<int32_t> verticals;
        for (uint64_t j = random() % 12; j > 0; --j) {
            slashes.insert(static_cast<int32_t>(random() % static_cast<uint64_t>(n)));
            verticals.insert(static_cast<int32_t>(random() % static_cast<uint64_t>(n)));
        }
        const int64_t block = static_cast<int64_t>(random() % static_cast<uint64_t>(n / keys));
        const merged found = merge(block, keys, {slashes.begin(), slashes.end()}, {verticals.begin(), verticals.end()});
        ASSERT_LE(found.strips.size(), slashes.size());
        for (const int64_t column : found.columns) {
            ASSERT_LT(column, block * keys);
        }
        for (int64_t row = block * keys; row < block * keys + keys; ++row) {
            for (int32_t key = 0; key <= row; ++key) {
                int64_t seen = std::count(found.columns.begin(), found.columns.end(), key);
                for (const int64_t first : found.strips) {
                    seen += key >= first && key < first + keys ? 1 : 0;
                }
                ASSERT_LE(seen, 1);
                if (slashes.count(static_cast<int32_t>(row) - key) != 0 || verticals.count(key) != 0) {
                    ASSERT_EQ(1, seen) << "row " << row << ", key " << key;
                }
            }
        }
    }
}

TEST(vertical_slash, takes_the_largest_sums_and_the_lower_of_equal_ones) {
    const float sums[] = {0, 5, 1, 3, 3, 3, 2, 4};
    using list = std::vector<int32_t>;
    EXPECT_EQ((list{1, 3, 4, 7}), largest_sums(sums, 4, 0));
    EXPECT_EQ((list{0, 1, 2, 7}), largest_sums(sums, 4, 3));
    EXPECT_EQ((list{0, 1}), largest_sums(sums, 2, 3));
    EXPECT_EQ((list{0, 1, 2, 3, 4, 5, 6, 7}), largest_sums(sums, 9, 0));
}

block_bitmap select(const line_method_case & each, const problem & p, int32_t n_threads) {
    const attention_segment & s = p.segments[0];
    block_bitmap bits(
        {each.c.n_head, {s.rank_begin, s.rank_begin + s.row_end - s.row_begin}, block_keys_of(each.rule)});
    EXPECT_TRUE(select_blocks(each.rule, p.args, s, n_threads, bits).ok());
    return bits;
}

TEST(vertical_slash, keeps_the_blocks_of_its_lines) {
    int64_t n_decided = 0;
    int64_t n_maybe = 0;
    for (const line_method_case & each : vertical_slash_cases(false)) {
        const std::unique_ptr<problem> p = make_problem(each.c);
        const block_bitmap bits = select(each, *p, 2);
        const bits_verdict verdict = check_line_bits(
            bits, vertical_slash_oracle(bits.shape, vertical_slash_lines(p->args, p->segments[0], each.rule)));
        ASSERT_EQ("", verdict.failure) << each.c.seed;
        n_decided += verdict.n_decided;
        n_maybe += verdict.n_maybe;
    }
    EXPECT_GT(n_decided, 30 * n_maybe);
}

// Every row sees at least what the published rule says, and in each block something that it says.
TEST(vertical_slash, by_the_published_rule_keeps_the_blocks_of_strips_and_columns) {
    for (const line_method_case & each : vertical_slash_cases(true)) {
        const std::unique_ptr<problem> p = make_problem(each.c);
        const block_bitmap bits = select(each, *p, 2);
        const std::vector<oracle_lines> lines = vertical_slash_lines(p->args, p->segments[0], each.rule);
        // Strips hang together, so a slash that may be kept or not leaves others open, too: such heads are passed over.
        const auto undecided = [&](int64_t head) {
            const oracle_lines & of = lines[static_cast<size_t>(head)];
            return std::count(of.slash.begin(), of.slash.end(), kept_state::maybe) +
                       std::count(of.vertical.begin(), of.vertical.end(), kept_state::maybe) >
                   0;
        };
        const auto oracle = [&](int64_t head, int64_t tile, int64_t block) {
            if (undecided(head)) {
                return kept_state::maybe;
            }
            const oracle_lines & of = lines[static_cast<size_t>(head)];
            const index_range rows = bits.shape.rows_of(tile);
            for (int64_t first = rows.begin; first < rows.end; first += 64) {
                // What two strips of 64 rows and all columns hold, key by key.
                std::vector<bool> held(static_cast<size_t>(first + 64 + 128));
                int64_t run_begin = 0;
                int64_t run_end = -1;
                const auto hold = [&](int64_t begin, int64_t end) {
                    std::fill(held.begin() + begin, held.begin() + end, true);
                };
                for (int64_t s = static_cast<int64_t>(of.slash.size()) - 1; s >= 0; --s) {
                    if (of.slash[static_cast<size_t>(s)] == kept_state::no || s >= first + 64) {
                        continue;
                    }
                    const int64_t end = std::max<int64_t>(first + 64 - s, 64);
                    if (run_end < 0 || end - 64 > run_end) {
                        run_begin = end - 64;
                        run_end = end;
                    } else if (end > run_end) {
                        run_end += 64;
                    }
                    hold(run_begin, run_end);
                }
                for (int64_t key = block * 16; key < std::min(block * 16 + 16, first + 64); ++key) {
                    const auto at = static_cast<size_t>(key);
                    if (held[at] || (at < of.vertical.size() && of.vertical[at] == kept_state::yes)) {
                        return kept_state::yes;
                    }
                }
            }
            return kept_state::no;
        };
        ASSERT_EQ("", check_line_bits(bits, oracle).failure) << each.c.seed;
    }
}

TEST(vertical_slash, larger_sizes_keep_more) {
    for (line_method_case each : vertical_slash_cases(false)) {
        const std::unique_ptr<problem> p = make_problem(each.c);
        const block_bitmap few = select(each, *p, 1);
        each.rule.values[0] += 40;
        each.rule.values[1] += 60;
        const block_bitmap more = select(each, *p, 1);
        for (size_t word = 0; word < few.words.size(); ++word) {
            ASSERT_EQ(0u, few.words[word] & ~more.words[word]) << each.c.seed;
        }
    }
}

}  // namespace
}  // namespace tmx::test
