// Method flexprefill on the CPU: worked examples, its blocks against an oracle, and what every budget owes.
#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <vector>

#include "flexprefill_oracle.h"
#include "problem.h"
#include "select/cpu/by_mass.h"
#include "select/cpu/flexprefill.h"

namespace tmx::test {
namespace {

flexprefill_values values_with(double gamma, bool reference) {
    return {.gamma = gamma, .tau = 0.1, .min_blocks = 1, .max_blocks = 1 << 20, .reference = reference};
}

// Numbers tile * n_blocks + block of the kept blocks, mandatory ones added.
std::vector<int64_t> kept_numbers(block_bitmap bits, int64_t n_blocks) {
    add_mandatory(bits);
    std::vector<int64_t> numbers;
    for (int64_t tile = 0; tile < bits.shape.n_tiles(); ++tile) {
        for (int64_t block = 0; block < n_blocks; ++block) {
            if (bits.keeps(0, tile, block)) {
                numbers.push_back(tile * n_blocks + block);
            }
        }
    }
    return numbers;
}

TEST(flexprefill, keeps_the_blocks_of_the_worked_example) {
    block_bitmap bits({1, {0, 1024}});
    add_lines(values_with(0.9, true), {{0, 3}, {0, 3}}, 0, bits);
    EXPECT_EQ(
        (std::vector<int64_t>{0, 8, 9, 16, 18, 24, 27, 32, 33, 35, 36, 40, 42, 43, 45, 48, 51, 54, 56, 59, 60, 63}),
        kept_numbers(bits, 8));
}

TEST(flexprefill, adds_the_second_block_that_a_slash_crosses) {
    block_bitmap bits({1, {0, 1024}});
    add_lines(values_with(0.9, false), {{0}, {0, 3}}, 0, bits);
    EXPECT_EQ((std::vector<int64_t>{0,  8,  9,  16, 17, 18, 24, 26, 27, 32, 33, 35, 36, 40,
                                    41, 42, 44, 45, 48, 50, 51, 53, 54, 56, 59, 60, 62, 63}),
              kept_numbers(bits, 8));
}

TEST(flexprefill, covers_as_the_worked_example) {
    EXPECT_EQ(4, published_cover(std::vector<float>{.05f, .4f, .1f, .3f, .15f}, 0.9));
}

TEST(flexprefill, reaches_a_share_with_the_element_that_crosses) {
    const std::vector<float> masses = {.05f, .4f, .1f, .3f, .15f};
    const std::vector<int32_t> order = by_falling_mass(masses, false);
    EXPECT_EQ((std::vector<int32_t>{1, 3, 4, 2, 0}), order);
    EXPECT_EQ(4, number_that_reaches(masses, order, 0.9));
    EXPECT_EQ(5, number_that_reaches(masses, order, 1));
    EXPECT_EQ(1, number_that_reaches(masses, order, 0));
    EXPECT_EQ((std::vector<int32_t>{0, 1, 3, 4, 2}), by_falling_mass(masses, true));
    const float no_number = std::numeric_limits<float>::quiet_NaN();
    EXPECT_EQ((std::vector<int32_t>{2, 1, 3, 0}), by_falling_mass(std::vector<float>{1, 2, no_number, 2}, false));
}

TEST(flexprefill, measures_the_distance_of_the_worked_example) {
    const std::vector<double> even = {.5, .5};
    EXPECT_NEAR(.3190, pattern_distance(even, std::vector<float>{.9f, .1f}), 5e-5);
    EXPECT_EQ(0, pattern_distance(even, std::vector<float>{.5f, .5f}));
    // What underflowed is no difference of its own.
    EXPECT_NEAR(std::sqrt(std::log(2.0)), pattern_distance(std::vector<double>{1, 0}, std::vector<float>{0, 1}), 1e-12);
}

TEST(flexprefill, keeps_the_scores_of_the_worked_example) {
    const std::vector<float> scores = {1, 0, 0, .6f, .4f, 0, .2f, .5f, .3f};
    block_bitmap published({1, {0, 384}});
    add_scored(values_with(0.9, true), scores, 0, published);
    const auto kept = [&](const block_bitmap & bits) {
        std::vector<int64_t> numbers;
        for (int64_t number = 0; number < 9; ++number) {
            if (bits.keeps(0, number / 3, number % 3)) {
                numbers.push_back(number);
            }
        }
        return numbers;
    };
    EXPECT_EQ((std::vector<int64_t>{0, 3, 4, 7}), kept(published));
    block_bitmap corrected({1, {0, 384}});
    add_scored(values_with(0.9, false), scores, 0, corrected);
    EXPECT_EQ((std::vector<int64_t>{0, 3, 4, 7, 8}), kept(corrected));
}

// Of 10 keys and blocks of 4 the published groups are {0,1} {2..5} {6..9}; of 1028 and 128 {0..3} {4..131} ...
TEST(flexprefill, groups_slashes_from_the_near_end) {
    EXPECT_EQ(0, slash_group(values_with(0.9, true), 1028, 3));
    EXPECT_EQ(1, slash_group(values_with(0.9, true), 1028, 4));
    EXPECT_EQ(8, slash_group(values_with(0.9, true), 1028, 1027));
    EXPECT_EQ(0, slash_group(values_with(0.9, false), 1028, 127));
    EXPECT_EQ(8, slash_group(values_with(0.9, false), 1028, 1027));
}

block_bitmap select(const line_method_case & each, const problem & p) {
    const attention_segment & s = p.segments[0];
    block_bitmap bits({each.c.n_head, {s.rank_begin, s.rank_begin + s.row_end - s.row_begin}});
    EXPECT_TRUE(select_blocks(each.rule, p.args, s, 2, bits).ok());
    return bits;
}

TEST(flexprefill, keeps_the_blocks_of_its_rule) {
    int64_t n_decided = 0;
    int64_t n_maybe = 0;
    int64_t n_query_aware = 0;
    for (const line_method_case & each : flexprefill_cases()) {
        const std::unique_ptr<problem> p = make_problem(each.c);
        std::vector<oracle_flexprefill_head> heads;
        for (int64_t head = 0; head < each.c.n_head; ++head) {
            heads.push_back(flexprefill_head_oracle(p->args, p->segments[0], each.rule, head).keep());
            n_query_aware += heads.back().query_aware ? 1 : 0;
        }
        const block_bitmap bits = select(each, *p);
        const bits_verdict verdict =
            check_line_bits(bits, flexprefill_oracle(bits.shape, each.rule.values[4] != 0, std::move(heads)));
        ASSERT_EQ("", verdict.failure) << each.c.seed;
        n_decided += verdict.n_decided;
        n_maybe += verdict.n_maybe;
    }
    EXPECT_GT(n_decided, 20 * n_maybe);
    EXPECT_GT(n_query_aware, 0);
}

TEST(flexprefill, larger_gammas_keep_more) {
    for (line_method_case each : flexprefill_cases()) {
        if (each.rule.values[4] != 0) {
            continue;  // the published cover includes one number more, whatever it holds
        }
        const std::unique_ptr<problem> p = make_problem(each.c);
        each.rule.values[0] = 0;
        block_bitmap few = select(each, *p);
        for (const double gamma : {0.2, 0.6, 0.8, 0.99, 1.0}) {
            each.rule.values[0] = gamma;
            block_bitmap more = select(each, *p);
            for (size_t word = 0; word < few.words.size(); ++word) {
                ASSERT_EQ(0u, few.words[word] & ~more.words[word]) << each.c.seed << ", " << gamma;
            }
            few = std::move(more);
        }
    }
}

}  // namespace
}  // namespace tmx::test
