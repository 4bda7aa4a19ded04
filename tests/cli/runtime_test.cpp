// The runtime's pure parts: chunk cutting and the distance between two distributions.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "runtime/arm_models.h"
#include "runtime/chunks.h"
#include "runtime/fidelity.h"

namespace tmx {
namespace {

TEST(Chunks, CoverEveryTokenOnceAndLeaveEnoughForTheLast) {
    for (int64_t n = 0; n <= 70; ++n) {
        for (int64_t size = 1; size <= 20; ++size) {
            for (int64_t min_last = 0; min_last <= 25; ++min_last) {
                const std::vector<index_range> chunks = cut_chunks(n, size, min_last);
                int64_t at = 0;
                for (const index_range & chunk : chunks) {
                    ASSERT_EQ(chunk.begin, at);
                    ASSERT_GE(chunk.size(), 1) << n << " " << size << " " << min_last;
                    ASSERT_LE(chunk.size(), size);
                    at = chunk.end;
                }
                ASSERT_EQ(at, n);
                ASSERT_EQ(static_cast<int64_t>(chunks.size()), (n + size - 1) / size);
                if (n > 0) {
                    ASSERT_GE(chunks.back().size(), std::min({min_last, size, n}));
                }
            }
        }
    }
}

TEST(Chunks, TheEmbeddedDemonstration) {
    const std::vector<index_range> chunks = cut_chunks(6200, 2048, 128);
    ASSERT_EQ(chunks.size(), 4U);
    EXPECT_EQ(chunks[2], (index_range{4096, 6072}));
    EXPECT_EQ(chunks[3], (index_range{6072, 6200}));
}

TEST(Fidelity, LogSoftmaxSumsToOneWhateverTheOffset) {
    for (const float offset : {0.0F, 80.0F, -3e4F, 3e4F}) {
        const std::vector<float> logits = {offset + 1.0F, offset - 2.0F, offset + 0.5F};
        const std::vector<double> p = log_softmax(logits);
        EXPECT_NEAR(std::exp(p[0]) + std::exp(p[1]) + std::exp(p[2]), 1.0, 1e-12);
        EXPECT_NEAR(p[0] - p[1], 3.0, 1e-9);
    }
}

TEST(Fidelity, KlOfTwoCoins) {
    // Logits 0 and log(3): probabilities 1/4 and 3/4. Against a fair coin, by hand.
    const std::vector<float> biased = {0.0F, std::log(3.0F)};
    const std::vector<float> fair = {5.0F, 5.0F};
    EXPECT_NEAR(kl_divergence(biased, fair), 0.25 * std::log(0.5) + 0.75 * std::log(1.5), 1e-7);
    EXPECT_NEAR(kl_divergence(fair, biased), 0.5 * std::log(2.0) + 0.5 * std::log(2.0 / 3.0), 1e-7);
    EXPECT_EQ(kl_divergence(biased, biased), 0.0);
    EXPECT_NEAR(top_margin(biased), 0.5, 1e-7);
}

TEST(Fidelity, ImpossibleTokens) {
    const float never = -std::numeric_limits<float>::infinity();
    const std::vector<float> masked = {1.0F, never, 1.0F};
    const std::vector<float> open = {1.0F, 1.0F, 1.0F};
    EXPECT_NEAR(kl_divergence(masked, open), std::log(1.5), 1e-7);
    EXPECT_TRUE(std::isinf(kl_divergence(open, masked)));
}

TEST(Fidelity, ArgmaxTakesTheLowestOfEqualOnes) {
    EXPECT_EQ(argmax(std::vector<float>{1.0F, 3.0F, 3.0F, 2.0F}), 1);
}

TEST(Fidelity, RowsAreCountedApart) {
    const logit_rows reference = {{2.0F, 0.0F}, {0.0F, 2.0F}, {2.0F, 0.0F}};
    const logit_rows other = {{2.0F, 0.0F}, {0.0F, 2.0F}, {0.0F, 2.0F}};
    const fidelity f = compare_rows(reference, other);
    EXPECT_EQ(f.first_kl, 0.0);
    EXPECT_EQ(f.n_positions, 3);
    EXPECT_EQ(f.n_following, 2);
    EXPECT_EQ(f.n_same_top, 2);
    EXPECT_NEAR(f.worst_kl, 2 * std::tanh(1.0), 1e-6);
    EXPECT_NEAR(f.following_kl, f.worst_kl / 2, 1e-12);
}

TEST(Fidelity, Quantiles) {
    EXPECT_EQ(median({}), 0.0);
    EXPECT_EQ(median({3.0, 1.0, 2.0}), 2.0);
    EXPECT_EQ(median({4.0, 1.0, 2.0, 3.0}), 2.5);
    EXPECT_NEAR(quantile({10.0, 20.0, 30.0}, 0.9), 28.0, 1e-12);
}

TEST(ArmModels, ADeviceHoldsTwoCopiesOnlyWithRoomForTheContext) {
    model_facts facts;
    facts.n_layer = 32;
    facts.n_head_kv = 8;
    facts.d_head = 128;
    facts.weight_bytes = uint64_t{16} << 30;  // 8B in f16
    const size_t gib = size_t{1} << 30;
    EXPECT_TRUE(two_models_fit(facts, 131072, 62 * gib, 80 * gib));
    EXPECT_FALSE(two_models_fit(facts, 1024, 8 * gib, 24 * gib));
    facts.weight_bytes = uint64_t{5} << 30;
    EXPECT_TRUE(two_models_fit(facts, 8192, 19 * gib, 24 * gib));
    EXPECT_FALSE(two_models_fit(facts, 131072, 19 * gib, 24 * gib));
}

}  // namespace
}  // namespace tmx
