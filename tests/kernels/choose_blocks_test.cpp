// Budgets on given scores: worked examples, ties, and what is no number.
#include "select/cpu/choose_blocks.h"

#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <vector>

namespace tmx::test {
namespace {

using namespace select_cpu;

// What is kept of a full tile of 128 rows that end with the block of the last score.
std::vector<int> kept(std::vector<float> scores, const std::function<void(const scored_tile &)> & choose) {
    const auto n = static_cast<int64_t>(scores.size());
    std::vector<int32_t> order(scores.size());
    uint32_t words[2] = {};
    const index_range rows{(n - 1) * 128, n * 128};
    for (int64_t word = 0; word < 2; ++word) {
        words[word] = mandatory_bits(rows, word);
    }
    choose({rows, scores, order, words});
    std::vector<int> blocks;
    for (int block = 0; block < 64; ++block) {
        if ((words[block / 32] >> (block % 32) & 1) != 0) {
            blocks.push_back(block);
        }
    }
    return blocks;
}

using blocks = std::vector<int>;

// Rows of a tile's masses, each row 16 in all.
const std::vector<std::vector<float>> k_masses = {
    {8, 2, 6},
    {6, 1, 3, 6},
    {5, 0.5f, 4, 2.5f, 4},
    {4, 0.5f, 6, 1, 0.5f, 4},
    {4, 1, 1, 5, 0.5f, 1.5f, 3},
    {3, 0.5f, 0.5f, 1, 6, 0.5f, 1.5f, 3},
};

TEST(choose_blocks, masses_of_xattention_as_worked_by_hand) {
    const std::vector<blocks> by_80 = {{0, 2}, {0, 2, 3}, {0, 2, 4}, {0, 2, 5}, {0, 3, 5, 6}, {0, 4, 6, 7}};
    const std::vector<blocks> by_90 = {{0, 1, 2},    {0, 2, 3},       {0, 2, 3, 4},
                                       {0, 2, 3, 5}, {0, 1, 3, 5, 6}, {0, 3, 4, 6, 7}};
    const std::vector<blocks> published = {{0, 1, 2},       {0, 1, 2, 3},       {0, 1, 2, 3, 4},
                                           {0, 1, 2, 3, 5}, {0, 1, 2, 3, 5, 6}, {0, 1, 3, 4, 6, 7}};
    for (size_t row = 0; row < k_masses.size(); ++row) {
        EXPECT_EQ(by_80[row], kept(k_masses[row], [](const scored_tile & t) { keep_until_mass(t, 0.8, false); }));
        EXPECT_EQ(by_90[row], kept(k_masses[row], [](const scored_tile & t) { keep_until_mass(t, 0.9, false); }));
        EXPECT_EQ(published[row], kept(k_masses[row], [](const scored_tile & t) { keep_until_mass(t, 0.9, true); }));
    }
}

TEST(choose_blocks, votes_of_means_as_worked_by_hand) {
    const std::vector<float> votes = {1.5f, 0.375f, 0.09375f, 0.75f, 0};  // the last one: the rows' own
    EXPECT_EQ((blocks{0, 1, 3, 4}), kept(votes, [](const scored_tile & t) { keep_above(t, 0.1); }));
    EXPECT_EQ((blocks{0, 3, 4}), kept(votes, [](const scored_tile & t) { keep_above(t, 0.5); }));
}

TEST(choose_blocks, a_share_counts_what_is_mandatory_and_ties_go_to_the_lower_index) {
    const std::vector<float> scores = {0, 5, 1, 5, 5, 1, 0, 1, 9, 9};
    const auto share = [&](double keep) { return kept(scores, [&](const scored_tile & t) { keep_share(t, keep); }); };
    EXPECT_EQ((blocks{0, 9}), share(0.01));
    EXPECT_EQ((blocks{0, 9}), share(0.2));
    EXPECT_EQ((blocks{0, 8, 9}), share(0.21));
    EXPECT_EQ((blocks{0, 8, 9}), share(0.3)) << "0.3 * 10 is 3, whatever a double makes of it";
    EXPECT_EQ((blocks{0, 1, 3, 8, 9}), share(0.5));
    EXPECT_EQ((blocks{0, 1, 2, 3, 4, 8, 9}), share(0.7));
    EXPECT_EQ((blocks{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}), share(1));
}

TEST(choose_blocks, the_mass_before_a_block_decides_in_order) {
    const std::vector<float> masses = {0.05f, 0.5f, 0.125f, 0.25f, 0.05f, 0.025f};
    const auto before = [&](double p) { return kept(masses, [&](const scored_tile & t) { keep_before_mass(t, p); }); };
    EXPECT_EQ((blocks{0, 5}), before(0));
    EXPECT_EQ((blocks{0, 1, 5}), before(0.5));
    EXPECT_EQ((blocks{0, 1, 3, 5}), before(0.51));
    EXPECT_EQ((blocks{0, 1, 2, 3, 5}), before(0.875));
    EXPECT_EQ((blocks{0, 1, 2, 3, 4, 5}), before(1));
}

TEST(choose_blocks, a_score_that_is_no_number_keeps_all) {
    for (const float odd : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
        const std::vector<float> scores = {1, 2, 3, odd, 0, 0, 1, 2};
        const blocks all = {0, 1, 2, 3, 4, 5, 6, 7};
        EXPECT_EQ(all, kept(scores, [](const scored_tile & t) { keep_share(t, 0.1); }));
        EXPECT_EQ(all, kept(scores, [](const scored_tile & t) { keep_above(t, 0.9); }));
        EXPECT_EQ(all, kept(scores, [](const scored_tile & t) { keep_until_mass(t, 0.1, false); }));
        EXPECT_EQ(all, kept(scores, [](const scored_tile & t) { keep_before_mass(t, 0.1); }));
    }
}

}  // namespace
}  // namespace tmx::test
