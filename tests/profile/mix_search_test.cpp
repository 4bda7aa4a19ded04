// How the planner looks for a mix: which choices it measures alone, and its search, on layers that are simulated. What
// a combination does there is not what the table says that it does.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <set>

#include "measure/random_source.h"
#include "planner/lone_choices.h"
#include "planner/mix_search.h"

namespace tmx::test {
namespace {

// Answers with a rule's KL, and remembers what was asked.
class Simulated {
  public:
    explicit Simulated(std::function<double(const combination & c, bool held_out)> rule) : rule_(std::move(rule)) {}

    searched_path search(const choice_table & table, double budget, bool forward = true) {
        const combination_kl kl = [this](const combination & c, bool held_out) {
            (held_out ? checked : tried).push_back(c.entries);
            return rule_(c, held_out);
        };
        return search_mix(table, budget, kl, forward);
    }

    std::vector<std::vector<int32_t>> tried, checked;

  private:
    std::function<double(const combination & c, bool held_out)> rule_;
};

int n_taken(const combination & c) {
    return static_cast<int>(
        std::count_if(c.entries.begin(), c.entries.end(), [](int32_t entry) { return entry >= 0; }));
}

choice_table equal_layers(size_t n_layers, const std::vector<choice_cost> & entries) {
    return choice_table(n_layers, entries);
}

TEST(MixSearch, UsesTheBudgetThatAddedDamagesWouldNotAllow) {
    // Rounding is paid for once: ten layers together do hardly more than one.
    Simulated model([](const combination & c, bool) { return n_taken(c) == 0 ? 0 : 0.5 + 0.01 * n_taken(c); });
    const searched_path found = model.search(equal_layers(10, {{0.5, 1, true}}), 1);
    EXPECT_EQ(n_taken(found.path[found.taken]), 10);
    EXPECT_EQ(found.path[found.taken].saved, 10);
}

TEST(MixSearch, GoesAroundALayerThatDoesMoreThanItDidAlone) {
    choice_table table;
    for (int layer = 0; layer < 16; ++layer) {
        table.push_back({{0.01 * (layer + 1), 1, true}});
    }
    Simulated model([](const combination & c, bool) { return c.entries[3] >= 0 ? 9 : c.damage; });
    const searched_path found = model.search(table, 1);
    const combination & taken = found.path[found.taken];
    EXPECT_LT(taken.entries[3], 0);
    EXPECT_LE(taken.damage, 1);
    EXPECT_EQ(n_taken(taken), 12) << "without the fourth of them, the cheapest that fit";
    EXPECT_EQ(taken.saved, 12);
}

TEST(MixSearch, TriesACarefulEntryWhereTheBoldOneBreaksTheBudget) {
    // The careful entry is on no frontier, since the bold one seemed to do as little.
    const choice_table table = equal_layers(1, {{0.1, 4, true}, {0.099, 2, true}});
    Simulated model([](const combination & c, bool) { return c.entries[0] == 0 ? 5 : c.entries[0] == 1 ? 0.1 : 0; });
    const searched_path found = model.search(table, 1);
    EXPECT_EQ(found.path[found.taken].entries[0], 1);
}

TEST(MixSearch, AFailedEntryIsNotTriedAgainNorOneThatDoesMore) {
    const choice_table table = equal_layers(1, {{0.1, 1, true}, {0.2, 3, true}, {0.4, 5, true}});
    Simulated model([](const combination & c, bool) { return c.entries[0] < 0 ? 0 : 2; });
    EXPECT_EQ(model.search(table, 1).taken, 0U);
    const std::multiset<std::vector<int32_t>> tried(model.tried.begin(), model.tried.end());
    EXPECT_LE(tried.size(), 4U);
    EXPECT_TRUE(model.checked.empty()) << "dense is within every budget";
}

TEST(MixSearch, EndsWhenARowOfTriesFailed) {
    Simulated model([](const combination & c, bool) { return n_taken(c) <= 5 ? 0 : 2; });
    const searched_path found = model.search(equal_layers(500, {{0.1, 1, true}}), 1);
    EXPECT_EQ(n_taken(found.path[found.taken]), 5);
    EXPECT_LT(model.tried.size(), 9 + 13U);
}

TEST(MixSearch, AloneAlongTheFrontierNothingIsTriedThatHappensToFit) {
    const choice_table table = {{{0.3, 1, true}}, {{0.4, 1, true}}, {{0.5, 1, true}}, {{0.6, 1, true}}};
    Simulated model([](const combination & c, bool) { return c.entries[2] >= 0 ? 9 : n_taken(c) > 3 ? 9 : 0.5; });
    EXPECT_EQ(n_taken(model.search(table, 1).path.back()), 3) << "around the third";
    const searched_path along = model.search(table, 1, false);
    EXPECT_EQ(along.path.back().entries, (std::vector<int32_t>{0, 0, -1, -1}));
    EXPECT_EQ(along.taken, 2U);
    const combination_kl any = [](const combination &, bool) { return 0.5; };
    EXPECT_EQ(path_along_frontier(table, 1, any).size(), 5U);
    EXPECT_EQ(path_along_frontier(table, 0.4, any).size(), 1U) << "dense is never measured";
}

TEST(MixSearch, HeldOutPromptsDecideInFewSteps) {
    for (const int fit : {0, 1, 37, 98, 99, 100}) {
        Simulated model([&](const combination & c, bool held_out) { return held_out && n_taken(c) > fit ? 2 : 0.5; });
        const searched_path found = model.search(equal_layers(100, {{0.001, 1, true}}), 1);
        EXPECT_EQ(n_taken(found.path[found.taken]), fit);
        EXPECT_LE(model.checked.size(), 14U);
    }
}

TEST(MixSearch, NoNumberIsBeyondEveryBudget) {
    const double none = std::nan("");
    Simulated everywhere([&](const combination &, bool) { return none; });
    EXPECT_EQ(everywhere.search(equal_layers(4, {{0.1, 1, true}}), 1).path.size(), 1U);
    Simulated held_out([&](const combination &, bool check) { return check ? none : 0; });
    EXPECT_EQ(held_out.search(equal_layers(4, {{0.1, 1, true}}), 1).taken, 0U);
    Simulated in_table([](const combination &, bool) { return 0; });
    const searched_path found = in_table.search(
        {{{none, 1, true}}, {{std::numeric_limits<double>::infinity(), 1, true}}, {{0.1, -1, true}, {0, 1, false}}}, 1);
    EXPECT_EQ(found.path.size(), 1U);
    EXPECT_TRUE(in_table.tried.empty());
}

// Random tables, and KLs that are the added damages with noise: of what was found, everything was measured.
TEST(MixSearch, WhatIsTakenWasMeasuredAndNoFurtherStepIsLeft) {
    random_source random(11);
    for (int round = 0; round < 200; ++round) {
        choice_table table(1 + random.below(8));
        for (std::vector<choice_cost> & layer : table) {
            layer.resize(random.below(4));
            for (choice_cost & cost : layer) {
                cost = {random.unit(), 2 * random.unit() - 0.3, random.below(5) != 0};
            }
        }
        const uint64_t seed = random.next();
        const auto kl = [&](const combination & c, bool held_out) {
            uint64_t key = seed + (held_out ? 1 : 0);
            double sum = 0;
            for (size_t layer = 0; layer < table.size(); ++layer) {
                key = key * 31 + static_cast<uint64_t>(c.entries[layer] + 1);
                sum += c.entries[layer] < 0 ? 0 : table[layer][static_cast<size_t>(c.entries[layer])].damage;
            }
            return sum * (0.5 + random_source(key).unit());
        };
        Simulated model(kl);
        const searched_path found = model.search(table, 1);
        Simulated again(kl);
        EXPECT_EQ(again.search(table, 1).path.back().entries, found.path.back().entries);
        for (size_t i = 1; i < found.path.size(); ++i) {
            EXPECT_GT(found.path[i].saved, found.path[i - 1].saved);
        }
        if (found.taken > 0) {
            const combination & taken = found.path[found.taken];
            EXPECT_LE(kl(taken, true), 1);
            EXPECT_NE(std::find(model.checked.begin(), model.checked.end(), taken.entries), model.checked.end());
        }
        if (found.taken + 1 < found.path.size()) {
            EXPECT_GT(kl(found.path[found.taken + 1], true), 1) << "the next one does not hold";
        }
    }
}

// Three layers, a menu of two, a floor of 0.1, a budget of 12: 1 is harmless.
planner_result result_of(const std::vector<std::vector<measured_choice>> & choices) {
    planner_result r;
    r.choices = choices;
    for (size_t layer = 0; layer < choices.size(); ++layer) {
        r.layers.push_back(static_cast<int32_t>(layer));
        r.floors.push_back(0.1);
    }
    return r;
}

measured_choice choice_of(double seconds, double share_left_out, double mean_kl = -1) {
    measured_choice c;
    c.saved = seconds;
    c.kept_share = 1 - share_left_out;
    c.at_short = {mean_kl >= 0, 7, 7, std::max(mean_kl, 0.0)};
    return c;
}

using choice_list = std::vector<lone_choice>;

TEST(LoneChoices, WhatSavesMostIsMeasuredFirst) {
    const planner_result r = result_of({{choice_of(1, 0.5), choice_of(2, 0.25)},
                                        {choice_of(-1, 0.5), choice_of(-2, 0)},
                                        {choice_of(3, 0.5), choice_of(3, 0.5)}});
    EXPECT_EQ(next_choices(r, planner_aim::time, 12), (choice_list{{0, 1}, {2, 0}}));
    EXPECT_EQ(next_choices(r, planner_aim::pairs, 12), (choice_list{{0, 0}, {1, 0}, {2, 0}}));
}

TEST(LoneChoices, WhereOneIsHarmlessTheOthersAreNotMeasured) {
    planner_result r = result_of({{choice_of(2, 0.5, 1.05), choice_of(1, 0.25)},
                                  {choice_of(2, 0.5, 1.2), choice_of(1, 0.25)},
                                  {choice_of(2, 0.5, 50), choice_of(1, 0.25, 30)}});
    EXPECT_EQ(next_choices(r, planner_aim::time, 12), (choice_list{{1, 1}}));
    EXPECT_EQ(next_choices(r, planner_aim::time, 120), choice_list{}) << "a larger budget";
    r.choices[0][0].at_long = {true, 7, 7, 1.2};
    EXPECT_EQ(next_choices(r, planner_aim::time, 12), (choice_list{{0, 1}, {1, 1}})) << "harm in longer prompts";
}

TEST(LoneChoices, ASearchGetsWhatWasMeasuredBeyondTheFloor) {
    planner_result r = result_of({{choice_of(2, 0.5, 0.05), choice_of(1, 0.25)}, {choice_of(2, 0.5, 0.4)}});
    r.choices[1][0].at_long = {true, 7, 7, 1.1};
    const choice_table table = table_of(r, planner_aim::pairs);
    EXPECT_EQ(table[0][0].damage, 0) << "below the floor";
    EXPECT_EQ(table[1][0].damage, 1) << "the larger of both lengths";
    EXPECT_EQ(table[0][0].saved, 0.5);
    EXPECT_EQ(on_frontier(table, 9), (choice_list{{0, 0}, {1, 0}}));
    EXPECT_EQ(on_frontier(table, 0.9), (choice_list{{0, 0}}));
    EXPECT_EQ(on_frontier({{{1, 1, true}, {1, 2, true}, {5, 3, true}, {6, 4, true}, {0, 9, false}}}, 9),
              (choice_list{{0, 1}, {0, 3}}));
    EXPECT_EQ(next_at_long(r, table, 9), (choice_list{{0, 0}})) << "the other was measured";
}

TEST(PromptGroups, AMeanBeyondALimitIsKnownEarly) {
    const std::vector<prompt_group> groups = {{8, 8, {0, 1}}, {16, 16, {2, 3, 4}}};
    EXPECT_FALSE(mean_beyond(groups, {}, 1));
    EXPECT_FALSE(mean_beyond(groups, {2}, 1));
    EXPECT_TRUE(mean_beyond(groups, {2.1}, 1));
    EXPECT_TRUE(mean_beyond(groups, {std::nan("")}, 1));
    EXPECT_FALSE(mean_beyond(groups, {1, 1, 2, 1}, 1));
    EXPECT_TRUE(mean_beyond(groups, {1, 1, 2, 1, 0.1}, 1));
    EXPECT_TRUE(mean_beyond(groups, {0, 0, 4}, 1));
}

}  // namespace
}  // namespace tmx::test
