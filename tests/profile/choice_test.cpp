// From scores to a set: orders, rank correlation, selection, and the plan that comes out.
#include <gtest/gtest.h>

#include <cmath>

#include "measure/rank_correlation.h"
#include "profile/scores.h"
#include "profile/selection.h"
#include "profile/unit_set.h"

namespace tmx::test {
namespace {

const model_shape k_model{"llama", 4, 6, 2, 64};

TEST(Units, LayersAndHeadsByName) {
    EXPECT_EQ(all_units(k_model, false).size(), 4U);
    EXPECT_EQ(all_units(k_model, true).size(), 24U);
    const std::vector<unit> layers = {{3}, {0}, {1}};
    EXPECT_EQ(format_units(layers), "0-1,3");
    const std::vector<unit> heads = {{2, 5}, {0, 1}, {2, 4}};
    EXPECT_EQ(format_units(heads), "0:1;2:4-5");
    EXPECT_EQ(format_units({}), "none");
    EXPECT_EQ(name_of(unit{2, 5}), "2.5");
}

TEST(Units, PlanHasExactlyThem) {
    const plan p = plan_of_units(std::vector<unit>{{1, 0}, {1, 3}, {3, 0}, {3, 1}, {3, 2}, {3, 3}, {3, 4}, {3, 5}},
                                 k_model, {4, 32, 16});
    EXPECT_EQ(p.layers[0].kind, layer_kind::dense);
    EXPECT_EQ(p.layers[1].kind, layer_kind::triangle);
    EXPECT_EQ(p.layers[1].dense_head, (std::vector<uint8_t>{0, 1, 1, 0, 1, 1}));
    EXPECT_EQ(p.layers[2].kind, layer_kind::dense);
    EXPECT_TRUE(p.layers[3].dense_head.empty());  // all its heads: simply a triangle layer
    EXPECT_EQ(p.shape.n_window, 32);
    // And the file format takes it.
    const parsed<plan> read = parse_plan(write_plan(p));
    EXPECT_TRUE(read.ok()) << read.error;
    EXPECT_EQ(read.value, p);
}

TEST(Ranks, TiesShareTheirMean) {
    EXPECT_EQ(ranks_of(std::vector<double>{5, 1, 5, 0}), (std::vector<double>{3.5, 2, 3.5, 1}));
}

TEST(Ranks, SpearmanByHand) {
    const std::vector<double> up = {1, 2, 3, 4, 5};
    EXPECT_DOUBLE_EQ(spearman(up, std::vector<double>{10, 20, 30, 40, 1000}), 1);
    EXPECT_DOUBLE_EQ(spearman(up, std::vector<double>{5, 4, 3, 2, 1}), -1);
    // 1 - 6 * (0 + 1 + 1 + 0 + 0) / (5 * 24)
    EXPECT_DOUBLE_EQ(spearman(up, std::vector<double>{1, 3, 2, 4, 5}), 0.9);
    EXPECT_DOUBLE_EQ(spearman(up, std::vector<double>{7, 7, 7, 7, 7}), 0);
}

TEST(Ranks, BootstrapIsTheSameEveryTimeAndHoldsTheValue) {
    const std::vector<double> values = {1, 2, 3, 4, 5, 6, 7, 8};
    const auto mean = [&](std::span<const size_t> prompts) {
        double sum = 0;
        for (const size_t p : prompts) {
            sum += values[p];
        }
        return sum / static_cast<double>(prompts.size());
    };
    const interval first = bootstrap(8, mean);
    const interval second = bootstrap(8, mean);
    EXPECT_DOUBLE_EQ(first.value, 4.5);
    EXPECT_EQ(first.low, second.low);
    EXPECT_EQ(first.high, second.high);
    // Normal theory: 4.5 +- 1.96 * sqrt(5.25 / 8).
    EXPECT_NEAR(first.low, 4.5 - 1.588, 0.3);
    EXPECT_NEAR(first.high, 4.5 + 1.588, 0.3);
}

prompt_gradient prompt_of(const std::vector<double> & middle, int64_t n_pairs) {
    prompt_gradient g;
    g.n_pairs = {10, 10, n_pairs};
    for (const double value : middle) {
        head_sums sums{};
        sums[index_of(section::middle)] = {value, value / 10, value / 5, 0.5};
        g.sums.push_back(sums);
    }
    return g;
}

TEST(Scores, MeansOverHeadsPairsAndPrompts) {
    // Two layers of two heads.
    const std::vector<prompt_gradient> prompts = {prompt_of({2, 4, 6, 8}, 2), prompt_of({40, 0, 0, 40}, 4)};
    const std::vector<double> gradient = layer_scores(prompts, 2, *find_score("gradient"), section::middle);
    // Layer 0: ((2 + 4) / 2 heads / 2 pairs + (40 + 0) / 2 / 4) / 2 prompts.
    EXPECT_DOUBLE_EQ(gradient[0], (1.5 + 5) / 2);
    EXPECT_DOUBLE_EQ(gradient[1], (3.5 + 5) / 2);
    const std::vector<double> share = layer_scores(prompts, 2, *find_score("gradient-share"), section::middle);
    EXPECT_DOUBLE_EQ(share[0], (6.0 / 20 + 40.0 / 80) / 2);
    EXPECT_DOUBLE_EQ(share[0] + share[1], 1);
    EXPECT_DOUBLE_EQ(head_scores(prompts, *find_score("contribution"), section::middle)[3], (0.8 / 2 + 4.0 / 4) / 2);
    EXPECT_EQ(find_score("nonsense"), nullptr);
}

TEST(Scores, NoPairsNoScore) {
    const std::vector<prompt_gradient> prompts = {prompt_of({0, 0}, 0)};
    for (const score_kind & kind : score_kinds()) {
        prompt_gradient empty = prompts[0];
        empty.sums[0][index_of(section::middle)] = {};
        empty.sums[1][index_of(section::middle)] = {};
        EXPECT_EQ(layer_scores(std::span(&empty, 1), 1, kind, section::middle), (std::vector<double>{0, 0}))
            << kind.name;
    }
}

class Selection : public ::testing::Test {
  protected:
    ordered_units order = order_units({{0}, {1}, {2}, {3}}, {0.4, 0.1, 0.3, 0.1});
    int n_choosing = 0;
    int n_held_out = 0;
    // KL grows with the square of the set; held-out prompts are hurt twice as much.
    set_kl square = [this](std::span<const unit> set, bool held_out) {
        ++(held_out ? n_held_out : n_choosing);
        return static_cast<double>(set.size() * set.size()) * (held_out ? 2 : 1);
    };
};

TEST_F(Selection, OrdersByScoreThenLayer) {
    EXPECT_EQ(order.units, (std::vector<unit>{{1}, {3}, {2}, {0}}));
    EXPECT_EQ(order.scores, (std::vector<double>{0.1, 0.1, 0.3, 0.4}));
}

TEST_F(Selection, CountAndThresholdMeasureOnlyTheCheck) {
    EXPECT_EQ(choose(order, choose_by::count, 3, true, square).size, 3);
    EXPECT_EQ(choose(order, choose_by::count, 4, false, square).size, 4);
    EXPECT_EQ(choose(order, choose_by::threshold, 0.1, false, square).size, 2);
    EXPECT_EQ(choose(order, choose_by::threshold, 0.0, false, square).size, 0);
    EXPECT_EQ(n_choosing, 0);
    EXPECT_EQ(n_held_out, 1);
}

TEST_F(Selection, BudgetStepsBackUntilHeldOutPromptsAgree) {
    const selection s = choose(order, choose_by::kl_budget, 10, true, square);
    // 3 units: 9 on the prompts that choose, 18 on the others; 2 units: 8.
    EXPECT_EQ(s.size, 2);
    EXPECT_TRUE(s.checked);
    ASSERT_FALSE(s.measured.empty());
    EXPECT_EQ(s.measured.back().size, 2);
    EXPECT_TRUE(s.measured.back().held_out);
    EXPECT_LE(s.measured.back().mean_kl, 10);
}

TEST_F(Selection, ABudgetNothingMeetsGivesNoTriangleLayer) {
    const selection s = choose(order, choose_by::kl_budget, 0.5, true, square);
    EXPECT_EQ(s.size, 0);
}

TEST(Orders, AScoreThatIsNoNumberComesLast) {
    std::vector<unit> units;
    std::vector<double> scores;
    for (int32_t layer = 0; layer < 40; ++layer) {
        units.push_back({layer});
        scores.push_back(layer % 3 == 0 ? std::nan("") : -layer);
    }
    const ordered_units order = order_units(units, scores);
    EXPECT_EQ(order.units.front(), unit{38});
    for (size_t i = 26; i < 40; ++i) {
        EXPECT_EQ(order.units[i].layer, static_cast<int32_t>(3 * (i - 26)));
    }
}

TEST_F(Selection, AKlThatIsNoNumberIsBeyondEveryBudget) {
    const set_kl broken = [](std::span<const unit>, bool) { return std::nan(""); };
    EXPECT_EQ(choose(order, choose_by::kl_budget, 1000, true, broken).size, 0);
    const set_kl broken_when_checked = [](std::span<const unit>, bool held_out) { return held_out ? std::nan("") : 0; };
    EXPECT_EQ(choose(order, choose_by::kl_budget, 1000, true, broken_when_checked).size, 0);
}

// Sizes 1 and 2 are within, 3 is beyond, 4 is within again by luck: bisection from 0 and 5 meets 2, then 3.
TEST_F(Selection, ADipBehindTheFirstSizeBeyondIsNotLookedFor) {
    const set_kl dip = [](std::span<const unit> set, bool) { return set.size() == 3 ? 2.0 : 0.5; };
    EXPECT_EQ(choose(order, choose_by::kl_budget, 1, true, dip).size, 2);
}

// 640 heads step back by 20; then the held-out prompts say how much of the last step was too much.
TEST(SelectionOfHeads, StepsBackCoarselyThenTakesBackWhatWasTooMuch) {
    std::vector<unit> heads;
    for (int32_t i = 0; i < 640; ++i) {
        heads.push_back({i / 10, i % 10});
    }
    const ordered_units order = order_units(heads, std::vector<double>(heads.size(), 0.0));
    int n_held_out = 0;
    const set_kl measure = [&](std::span<const unit> set, bool held_out) {
        n_held_out += held_out ? 1 : 0;
        return static_cast<double>(set.size()) * (held_out ? 2 : 1);
    };
    const selection s = choose(order, choose_by::kl_budget, 346, true, measure);
    EXPECT_EQ(s.size, 173);
    EXPECT_TRUE(s.checked);
    EXPECT_LE(n_held_out, 10 + 5);  // (346 - 173) / 20 steps, and a bisection of 20
}

// Layers go one by one, however many: what docs/profile.md says.
TEST(SelectionOfLayers, StepsBackOneByOne) {
    std::vector<unit> layers;
    for (int32_t i = 0; i < 80; ++i) {
        layers.push_back({i});
    }
    const ordered_units order = order_units(layers, std::vector<double>(layers.size(), 0.0));
    std::vector<size_t> checked;
    const set_kl measure = [&](std::span<const unit> set, bool held_out) {
        if (held_out) {
            checked.push_back(set.size());
        }
        return static_cast<double>(set.size()) + (held_out ? 3 : 0);
    };
    EXPECT_EQ(choose(order, choose_by::kl_budget, 60, true, measure).size, 57);
    EXPECT_EQ(checked, (std::vector<size_t>{60, 59, 58, 57}));
}

TEST_F(Selection, AGenerousBudgetTakesAll) {
    EXPECT_EQ(choose(order, choose_by::kl_budget, 1000, true, square).size, 4);
}

}  // namespace
}  // namespace tmx::test
