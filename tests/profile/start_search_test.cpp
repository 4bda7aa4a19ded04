// Which heads of a start are given back, on harms that are made up: a sum over the start's heads, and what some do in
// company.
#include "planner/start/start_search.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <set>

#include "measure/random_source.h"

namespace tmx::test {
namespace {

using unit_list = std::vector<unit>;

// Harm is in units of first_kl, of which it is twice as much.
class Simulated {
  public:
    explicit Simulated(std::map<unit, double> harms) : harms_(std::move(harms)) {
        for (const auto & [head, harm] : harms_) {
            units.push_back(head);
        }
    }

    start_search search(double target) {
        asked.clear();
        return search_start(units, target, [this](const unit_list & given_back) {
            asked.push_back(given_back);
            const double kl = first_kl(given_back);
            return start_effect{kl, 2 * kl};
        });
    }

    double first_kl(const unit_list & given_back) const {
        double sum = together ? together(given_back) : 0;
        for (const auto & [head, harm] : harms_) {
            sum += std::binary_search(given_back.begin(), given_back.end(), head) ? 0 : harm;
        }
        return sum;
    }

    bool was_asked(const unit_list & given_back) const {
        return std::find(asked.begin(), asked.end(), given_back) != asked.end();
    }

    // Beyond the sum.
    std::function<double(const unit_list & given_back)> together;
    unit_list units;
    std::vector<unit_list> asked;

  private:
    std::map<unit, double> harms_;
};

bool holds(const unit_list & units, const unit & u) {
    return std::find(units.begin(), units.end(), u) != units.end();
}

// 0.01 a head.
std::map<unit, double> even_heads(int32_t n_layers, int32_t n_heads) {
    std::map<unit, double> harms;
    for (int32_t layer = 0; layer < n_layers; ++layer) {
        for (int32_t head = 0; head < n_heads; ++head) {
            harms[{layer, head}] = 0.01;
        }
    }
    return harms;
}

TEST(StartSearch, WithinItsShareNothingIsGivenBack) {
    Simulated start(even_heads(4, 3));
    const start_search found = start.search(start.first_kl({}));
    EXPECT_TRUE(found.given_back.empty());
    EXPECT_EQ(start.asked, std::vector<unit_list>{{}});
    EXPECT_EQ(found.after.first_kl, found.before().first_kl);
}

TEST(StartSearch, TheMostHarmfulHeadsAreFoundAndNoOthers) {
    std::map<unit, double> harms = even_heads(28, 7);
    harms[{3, 2}] = 5;
    harms[{3, 6}] = 2;
    harms[{20, 0}] = 3;
    Simulated start(harms);
    const start_search found = start.search(2);
    EXPECT_EQ(found.given_back, (unit_list{{3, 2}, {3, 6}, {20, 0}}));
    EXPECT_NEAR(found.before().first_kl, 196 * 0.01 - 0.03 + 10, 1e-9);
    EXPECT_NEAR(found.after.first_kl, 193 * 0.01, 1e-9);
    EXPECT_EQ(found.after.first_kl, start.first_kl(found.given_back));
    // As soon as it is enough it ends: the third is not given back for a target that two reach.
    EXPECT_EQ(start.search(4).given_back, (unit_list{{3, 2}, {20, 0}}));
}

TEST(StartSearch, HeadsAreLookedAtInAsManyLayersAsHaveToBe) {
    std::map<unit, double> harms = even_heads(10, 4);
    harms[{7, 1}] = 5;
    harms[{2, 3}] = 0.5;
    Simulated start(harms);
    start.search(1);
    EXPECT_TRUE(start.was_asked({{7, 0}})) << "the harm is there";
    EXPECT_TRUE(start.was_asked({{2, 3}})) << "the first layer's gain is not twice what is needed";
    // 40 heads at 0.01, two of them at 5 and 0.5: 0.5 of 5.88 has to be saved.
    start.search(start.first_kl({}) - 0.5);
    EXPECT_FALSE(start.was_asked({{2, 3}}));
    EXPECT_EQ(start.asked.size(), 1 + 10 + 4U) << "in company is alone for the first";
}

TEST(StartSearch, OneThatDoesNotHelpInCompanyStays) {
    std::map<unit, double> harms = even_heads(3, 2);
    harms[{0, 0}] = 2;
    harms[{2, 1}] = 1;
    Simulated start(harms);
    // Each alone takes 0.5 more off, which is there once: together they take it off once, and 1.2 comes.
    start.together = [](const unit_list & given_back) {
        const bool first = holds(given_back, {0, 0});
        const bool second = holds(given_back, {1, 0});
        return first && second ? 1.2 : first || second ? 0 : 0.5;
    };
    const start_search found = start.search(0.035);
    EXPECT_TRUE(start.was_asked({{0, 0}, {1, 0}, {2, 1}})) << "it gains alone";
    EXPECT_FALSE(holds(found.given_back, {1, 0}));
    EXPECT_TRUE(holds(found.given_back, {0, 0}) && holds(found.given_back, {2, 1}));
    EXPECT_NEAR(found.after.first_kl, 0.03, 1e-9) << "0.04, and one that gained less went on";
}

TEST(StartSearch, AHeadWhoseLossWouldDoHarmIsNotTried) {
    std::map<unit, double> harms = even_heads(2, 2);
    harms[{0, 0}] = 2;
    harms[{0, 1}] = harms[{0, 2}] = -0.5;
    Simulated start(harms);
    // Out of reach, so everything is tried.
    const start_search found = start.search(-9);
    EXPECT_EQ(found.given_back, (unit_list{{0, 0}, {1, 0}, {1, 1}}));
    EXPECT_FALSE(start.was_asked({{0, 0}, {0, 1}, {1, 0}, {1, 1}}));
    EXPECT_TRUE(start.was_asked(start.units)) << "but with the layer, which gained as a whole";
}

TEST(StartSearch, WhereHeadsAreUsedUpLayersGoAsAWhole) {
    // Either head of layer 1 is enough for harm that neither takes off alone. Of nine layers six are looked at.
    std::map<unit, double> harms = even_heads(9, 2);
    harms[{1, 0}] = harms[{1, 1}] = 0;
    Simulated start(harms);
    start.together = [](const unit_list & given_back) {
        return holds(given_back, {1, 0}) && holds(given_back, {1, 1}) ? 0 : 1;
    };
    const start_search found = start.search(0.1);
    EXPECT_NEAR(found.after.first_kl, 0.06, 1e-9);
    EXPECT_EQ(found.given_back.size(), 12U) << "ten heads that help a little, and layer 1";
    EXPECT_TRUE(holds(found.given_back, {1, 0}) && holds(found.given_back, {1, 1}));
    const start_search all = start.search(0);
    EXPECT_EQ(all.given_back, start.units);
    EXPECT_EQ(all.after.first_kl, 0);
    // Out of reach: everything that helps is given back, and it says what is left.
    start.together = [](const unit_list &) { return 1; };
    const start_search most = start.search(0.5);
    EXPECT_EQ(most.after.first_kl, 1);
    EXPECT_EQ(most.given_back.size(), 16U);
}

TEST(StartSearch, ALayerOfOneUnitIsMeasuredOnce) {
    Simulated start({{{0, -1}, 1}, {{1, -1}, 2}, {{4, -1}, 3}});
    const start_search found = start.search(1);
    EXPECT_EQ(found.given_back, (unit_list{{1, -1}, {4, -1}}));
    EXPECT_EQ(start.asked.size(), 1 + 3 + 1U);
}

TEST(StartSearch, NoNumberGivesNothingBackAndEnds) {
    Simulated start(even_heads(3, 2));
    start.together = [](const unit_list & given_back) { return given_back.empty() ? std::nan("") : 0; };
    const start_search found = start.search(0.01);
    EXPECT_TRUE(found.given_back.empty());
    EXPECT_TRUE(std::isnan(found.after.first_kl));
}

// Prompts held out find the start worse by a factor; remembers for what they were asked.
settled_start settle(Simulated & start, double share, double budget, double worse, std::vector<unit_list> & checked) {
    checked.clear();
    start.asked.clear();
    return settle_start(
        start.units, share, budget,
        [&](const unit_list & given_back) {
            start.asked.push_back(given_back);
            return start_effect{start.first_kl(given_back), start.first_kl(given_back)};
        },
        [&](const unit_list & given_back) {
            checked.push_back(given_back);
            return worse * start.first_kl(given_back);
        });
}

TEST(SettledStart, PromptsHeldOutHaveMoreGivenBack) {
    // 15 in all.
    Simulated start({{{0, 0}, 8}, {{1, 0}, 4}, {{2, 0}, 2}, {{3, 0}, 1}});
    std::vector<unit_list> checked;
    const settled_start agreed = settle(start, 0.5, 16, 1, checked);
    EXPECT_EQ(agreed.verdict, start_verdict::good);
    EXPECT_EQ(agreed.search.given_back, (unit_list{{0, 0}})) << "7 of 8";
    EXPECT_EQ(checked.size(), 1U);
    // 7 is 21 there, beyond 16; half of 7 is not reached with 3 left, but with 3 it is 9.
    const settled_start more = settle(start, 0.5, 16, 3, checked);
    EXPECT_EQ(more.verdict, start_verdict::good);
    EXPECT_EQ(more.search.given_back, (unit_list{{0, 0}, {1, 0}}));
    EXPECT_EQ(checked, (std::vector<unit_list>{{{0, 0}}, {{0, 0}, {1, 0}}}));
    // A start within its share on prompts that choose gives back, too, where others find it beyond the budget.
    const settled_start whole = settle(start, 1, 16, 2, checked);
    EXPECT_EQ(whole.verdict, start_verdict::good);
    EXPECT_EQ(whole.search.given_back, (unit_list{{0, 0}}));
    EXPECT_EQ(checked.front(), unit_list{});
}

TEST(SettledStart, EndsWhereTheBudgetCannotBeKept) {
    Simulated start({{{0, 0}, 8}, {{1, 0}, 4}, {{2, 0}, 2}, {{3, 0}, 1}});
    std::vector<unit_list> checked;
    EXPECT_EQ(settle(start, 0.5, 16, 100, checked).verdict, start_verdict::good) << "in the third time nothing is left";
    EXPECT_EQ(checked.size(), 4U);
    start.together = [](const unit_list &) { return 0.5; };
    EXPECT_EQ(settle(start, 0.5, 16, 100, checked).verdict, start_verdict::beyond_on_held_out);
    EXPECT_EQ(checked.size(), 4U);
    const settled_start never = settle(start, 0.5, 0.25, 1, checked);
    EXPECT_EQ(never.verdict, start_verdict::beyond_on_choosing);
    EXPECT_EQ(never.search.given_back, start.units);
    EXPECT_TRUE(checked.empty());
    EXPECT_EQ(std::count(start.asked.begin(), start.asked.end(), unit_list{}), 1) << "less will not be reached, either";
    EXPECT_EQ(settle(start, 0.5, 16, std::nan(""), checked).verdict, start_verdict::beyond_on_held_out);
}

// Random harms with noise in company: nothing is measured twice nor more often than foreseen, what is told was
// measured, and what is given back did help.
TEST(StartSearch, NeverMoreThanForeseen) {
    random_source random(5);
    size_t most = 0;
    for (int round = 0; round < 300; ++round) {
        std::map<unit, double> harms;
        const auto n_layers = static_cast<int32_t>(1 + random.below(28));
        for (int32_t layer = 0; layer < n_layers; ++layer) {
            for (int32_t head = 0; head < 8; ++head) {
                if (random.below(4) != 0) {
                    harms[{layer, head}] = std::pow(random.unit(), 4) - 0.02;
                }
            }
        }
        Simulated start(harms);
        start.together = [&](const unit_list & given_back) {
            return 0.1 * random_source(1 + given_back.size()).unit();
        };
        const start_search found = start.search(round % 3 == 0 ? 0 : 0.3 * start.first_kl({}));
        const std::set<unit_list> once(start.asked.begin(), start.asked.end());
        EXPECT_EQ(once.size(), start.asked.size());
        EXPECT_LE(start.asked.size(), most_start_trials(start.units));
        most = std::max(most, start.asked.size());
        EXPECT_EQ(found.tried.size(), start.asked.size());
        EXPECT_TRUE(start.was_asked(found.given_back));
        EXPECT_TRUE(found.given_back.empty() || found.after.harm < found.before().harm);
        EXPECT_EQ(found.after.first_kl, start.first_kl(found.given_back));
    }
    EXPECT_GT(most, 100U) << "or this says little";
    EXPECT_EQ(most_start_trials(Simulated(even_heads(28, 7)).units), 1 + 28 + 42 + 42 + 28U);
}

}  // namespace
}  // namespace tmx::test
