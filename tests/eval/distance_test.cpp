// Distances of next-token distributions against sums that are written out here.
#include <gtest/gtest.h>

#include <cmath>

#include "eval/run/answer_distance.h"

namespace tmx {
namespace {

std::vector<double> softmax(const std::vector<float> & logits) {
    std::vector<double> p;
    double sum = 0;
    for (const float x : logits) {
        p.push_back(std::exp(static_cast<double>(x)));
        sum += p.back();
    }
    for (double & each : p) {
        each /= sum;
    }
    return p;
}

const std::vector<float> k_a = {2.0F, 1.0F, 0.5F, -1.0F, 0.0F, 0.25F};
const std::vector<float> k_b = {1.0F, 2.0F, 0.5F, -1.5F, 0.5F, 0.0F};

TEST(answer_distance, of_the_first_token) {
    const std::vector<double> p = softmax(k_a);
    const std::vector<double> q = softmax(k_b);
    double kl = 0;
    double js = 0;
    for (size_t i = 0; i < p.size(); ++i) {
        kl += p[i] * std::log(p[i] / q[i]);
        const double m = (p[i] + q[i]) / 2;
        js += (p[i] * std::log(p[i] / m) + q[i] * std::log(q[i] / m)) / 2;
    }
    const first_token_distance d = compare_first(k_a, k_b);
    EXPECT_NEAR(d.kl, kl, 1e-12);
    EXPECT_NEAR(d.js, js, 1e-12);
    EXPECT_FALSE(d.same_top);
    EXPECT_EQ(d.rank, 1);
    EXPECT_NEAR(d.margin, p[0] - p[1], 1e-12);
    // The five likeliest leave out token 3 in both.
    EXPECT_EQ(d.top5, 1);
}

TEST(answer_distance, a_token_without_probability_adds_nothing) {
    std::vector<float> a = k_a;
    std::vector<float> b = k_b;
    a.push_back(-INFINITY);
    b.push_back(-INFINITY);
    const std::vector<token_id> forced = {0};
    EXPECT_EQ(compare_following({a}, {b}, forced).kl_mean, compare_first(k_a, k_b).kl);
}

TEST(answer_distance, of_equal_rows_is_nothing) {
    const first_token_distance d = compare_first(k_a, k_a);
    EXPECT_EQ(d.kl, 0);
    EXPECT_NEAR(d.js, 0, 1e-15);
    EXPECT_TRUE(d.same_top);
    EXPECT_EQ(d.rank, 0);
    const std::vector<token_id> forced = {0, 1};
    const following_distance f = compare_following({k_a, k_b}, {k_a, k_b}, forced);
    EXPECT_EQ(f.kl_mean, 0);
    EXPECT_EQ(f.flips, 0);
    EXPECT_EQ(f.dp_rms, 0);
    EXPECT_EQ(f.n, 2);
}

TEST(answer_distance, of_forced_tokens) {
    const std::vector<double> p = softmax(k_a);
    const std::vector<double> q = softmax(k_b);
    const std::vector<token_id> forced = {1, 0, 0};
    const following_distance f = compare_following({k_a, k_a, k_b}, {k_b, k_a, k_b}, forced);
    EXPECT_EQ(f.n, 3);
    EXPECT_EQ(f.flips, 1);
    EXPECT_EQ(f.confident, 3) << "all three rows have a margin above a tenth";
    EXPECT_EQ(f.confident_flips, 1);
    EXPECT_NEAR(f.dp_mean, (q[1] - p[1]) / 3, 1e-12);
    EXPECT_NEAR(f.dp_rms, std::abs(q[1] - p[1]) / std::sqrt(3.0), 1e-12);
    EXPECT_NEAR(f.kl_max, compare_first(k_a, k_b).kl, 1e-12);
    EXPECT_EQ(f.kl_median, 0);
}

TEST(answer_distance, quarters_are_in_the_answers_order) {
    const std::vector<token_id> forced(6, 0);
    const double kl = compare_first(k_a, k_b).kl;
    // Six positions: quarters of one, two, one and two.
    const following_distance f =
        compare_following({k_a, k_a, k_a, k_a, k_a, k_a}, {k_a, k_a, k_b, k_a, k_b, k_b}, forced);
    ASSERT_EQ(f.kl_quarters.size(), 4U);
    EXPECT_EQ(f.kl_quarters[0], 0);
    EXPECT_NEAR(f.kl_quarters[1], kl / 2, 1e-12);
    EXPECT_EQ(f.kl_quarters[2], 0);
    EXPECT_NEAR(f.kl_quarters[3], kl, 1e-12);
    EXPECT_TRUE(compare_following({k_a, k_a, k_a}, {k_a, k_a, k_a}, {forced.data(), 3}).kl_quarters.empty());
}

TEST(answer_distance, likelihood_is_a_sum) {
    const std::vector<token_id> tokens = {2, 4};
    const double expected = -std::log(softmax(k_a)[2]) - std::log(softmax(k_b)[4]);
    EXPECT_NEAR(negative_log_likelihood({k_a, k_b}, tokens), expected, 1e-12);
}

}  // namespace
}  // namespace tmx
