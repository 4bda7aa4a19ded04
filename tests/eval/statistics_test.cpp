// Paired statistics: tabulated values, and what they say of simulated data whose truth is known.
#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "measure/paired_statistics.h"
#include "measure/random_source.h"

namespace tmx {
namespace {

// Exact two-sided values of the binomial distribution with p = 1/2.
TEST(mcnemar, agrees_with_tables) {
    EXPECT_NEAR(mcnemar_p(5, 0), 0.0625, 1e-12);
    EXPECT_NEAR(mcnemar_p(0, 6), 0.03125, 1e-12);
    EXPECT_NEAR(mcnemar_p(10, 2), 2.0 * 79 / 4096, 1e-12);
    EXPECT_EQ(mcnemar_p(0, 0), 1);
    EXPECT_EQ(mcnemar_p(3, 3), 1);
    EXPECT_NEAR(mcnemar_p(400, 400), 1, 1e-12);
}

TEST(holm, steps_down) {
    const std::vector<double> adjusted = holm_adjusted(std::vector<double>{0.04, 0.01, 0.03, 0.005});
    EXPECT_NEAR(adjusted[3], 0.02, 1e-12);
    EXPECT_NEAR(adjusted[1], 0.03, 1e-12);
    EXPECT_NEAR(adjusted[2], 0.06, 1e-12);
    EXPECT_NEAR(adjusted[0], 0.06, 1e-12);  // never below the one before
    EXPECT_EQ(holm_adjusted(std::vector<double>{0.9, 0.8})[0], 1);
}

TEST(sign_flip, is_exact_for_few) {
    // Of the 8 sign patterns of 1, 1, 1 two are as far from 0 as three of one sign.
    EXPECT_NEAR(sign_flip_p(std::vector<double>{1, 1, 1}), 0.25, 1e-12);
    EXPECT_NEAR(sign_flip_p(std::vector<double>{1, 0, 1, 0, 1}), 0.25, 1e-12);
    EXPECT_EQ(sign_flip_p(std::vector<double>{0, 0}), 1);
    EXPECT_EQ(sign_flip_p(std::vector<double>{2, -2}), 1);
    EXPECT_EQ(sign_flip_p({}), 1);
    // All of 30 with one sign: the p of any draw is 2^-29.
    EXPECT_LT(sign_flip_p(std::vector<double>(30, 0.1)), 0.001);
}

TEST(bound_of_nothing, is_the_rule_of_three) {
    EXPECT_NEAR(bound_of_nothing_seen(100), 0.0295, 0.0001);
    EXPECT_NEAR(bound_of_nothing_seen(500), 0.00597, 0.00001);
}

// Changes of whole answers in three tasks, as rare as they are between two good arms.
std::vector<paired_difference> simulated(random_source & random, double better, double worse, int n) {
    std::vector<paired_difference> pairs;
    for (int task = 0; task < 3; ++task) {
        for (int i = 0; i < n; ++i) {
            const double u = random.unit();
            const double d = u < better ? 100 : u < better + worse ? -100 : 0;
            pairs.push_back({d, std::to_string(task), ""});
        }
    }
    return pairs;
}

TEST(bootstrap_pairs, covers_the_truth) {
    random_source random(3);
    constexpr int k_times = 300;
    int covered = 0;
    int covered_bca = 0;
    for (int i = 0; i < k_times; ++i) {
        const mean_difference d = bootstrap_pairs(simulated(random, 0.10, 0.14, 60), 600);
        covered += d.low <= -4 && -4 <= d.high ? 1 : 0;
        covered_bca += d.bca_low <= -4 && -4 <= d.bca_high ? 1 : 0;
    }
    EXPECT_GE(covered, 0.90 * k_times);
    EXPECT_LE(covered, 0.98 * k_times);
    EXPECT_GE(covered_bca, 0.90 * k_times);
    EXPECT_LE(covered_bca, 0.98 * k_times);
}

TEST(bootstrap_pairs, weighs_tasks_alike_and_keeps_clusters_together) {
    // One task of 1 example and one of 9: the mean of the two means.
    std::vector<paired_difference> pairs = {{10, "a", ""}};
    pairs.insert(pairs.end(), 9, {0, "b", ""});
    EXPECT_NEAR(bootstrap_pairs(pairs).mean, 5, 1e-12);
    // Ten examples that stand or fall together are one: the interval is as wide as what a single draw of two gives.
    std::vector<paired_difference> together;
    for (int i = 0; i < 20; ++i) {
        together.push_back({i < 10 ? 1.0 : 0.0, "a", i < 10 ? "x" : "y"});
    }
    const mean_difference clustered = bootstrap_pairs(together);
    EXPECT_EQ(clustered.low, 0);
    EXPECT_EQ(clustered.high, 1);
    for (paired_difference & each : together) {
        each.cluster.clear();
    }
    EXPECT_GT(bootstrap_pairs(together).low, 0.2);
}

TEST(bootstrap_pairs, of_equal_arms_is_a_point) {
    const mean_difference d = bootstrap_pairs(std::vector<paired_difference>(50));
    EXPECT_EQ(d.mean, 0);
    EXPECT_EQ(d.low, 0);
    EXPECT_EQ(d.high, 0);
    EXPECT_EQ(d.bca_low, 0);
    EXPECT_EQ(d.bca_high, 0);
    EXPECT_EQ(not_worse(d, 1), verdict::pass);
}

TEST(bootstrap_pairs, gives_the_same_again) {
    random_source random(5);
    const std::vector<paired_difference> pairs = simulated(random, 0.1, 0.1, 50);
    const mean_difference a = bootstrap_pairs(pairs);
    const mean_difference b = bootstrap_pairs(pairs);
    EXPECT_EQ(a.low, b.low);
    EXPECT_EQ(a.bca_high, b.bca_high);
}

TEST(verdicts, are_about_the_margin) {
    mean_difference d;
    d.n = 100;
    d.one_sided_low = -0.9;
    d.one_sided_high = 0.5;
    EXPECT_EQ(not_worse(d, 1), verdict::pass);
    d.one_sided_low = -1;
    EXPECT_EQ(not_worse(d, 1), verdict::inconclusive) << "the bound must be above the margin";
    d.one_sided_low = -3;
    d.one_sided_high = -1;
    EXPECT_EQ(not_worse(d, 1), verdict::inconclusive);
    d.one_sided_high = -1.1;
    EXPECT_EQ(not_worse(d, 1), verdict::fail);
    EXPECT_EQ(not_worse(mean_difference{}, 1), verdict::inconclusive) << "nothing was measured";
}

// True difference -5 with a margin of 1: never PASS but for one time in twenty, and FAIL with enough examples.
TEST(verdicts, are_right_about_simulated_arms) {
    random_source random(11);
    int passed = 0;
    int failed = 0;
    int passed_equal = 0;
    for (int i = 0; i < 40; ++i) {
        const mean_difference bad = bootstrap_pairs(simulated(random, 0.02, 0.07, 400), 400);
        passed += not_worse(bad, 1) == verdict::pass ? 1 : 0;
        failed += not_worse(bad, 1) == verdict::fail ? 1 : 0;
        passed_equal +=
            not_worse(bootstrap_pairs(simulated(random, 0.02, 0.02, 400), 400), 1.5) == verdict::pass ? 1 : 0;
    }
    EXPECT_LE(passed, 2);
    EXPECT_GE(failed, 36);
    EXPECT_GE(passed_equal, 32);
}

}  // namespace
}  // namespace tmx
