// The planner's parts that measure nothing: menus, mixes, frontiers, times, groups of prompts.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "measure/random_source.h"
#include "planner/entry_times.h"
#include "planner/frontier.h"
#include "planner/layer_mix.h"
#include "planner/menu.h"
#include "profile/policy.h"
#include "profile/selection.h"

namespace tmx::test {
namespace {

const triangle_shape k_shape{8, 512, 128};
const model_shape k_model{"llama", 5, 6, 2, 64};

std::vector<std::string> texts_of(const std::string & menu, bool quick = false) {
    std::vector<std::string> texts;
    for (const menu_entry & entry : parse_menu(menu, k_shape, quick)) {
        texts.push_back(entry.text);
    }
    return texts;
}

std::string refused(const std::string & menu) {
    try {
        static_cast<void>(parse_menu(menu, k_shape, false));
    } catch (const contradiction & error) {
        return error.what();
    }
    return "accepted";
}

using text_list = std::vector<std::string>;

TEST(Menu, NamesValuesAndBothInOneLayer) {
    EXPECT_EQ(texts_of("triangle"), text_list{"triangle"});
    EXPECT_EQ(texts_of("triangle:window=1024,triangle"), (text_list{"triangle:window=1024", "triangle"}));
    EXPECT_EQ(texts_of("triangle:window=512"), text_list{"triangle"}) << "the window is that of the run";
    EXPECT_EQ(texts_of("stride:stride=7"), text_list{"stride:stride=7"});
    EXPECT_EQ(texts_of("triangle+stride:stride=3"), text_list{"triangle+stride:stride=3"});
    EXPECT_EQ(texts_of("stride:stride=3+triangle:window=64"), text_list{"triangle:window=64+stride:stride=3"});
    const std::vector<menu_entry> menu = parse_menu("triangle:window=9,stride:stride=7,triangle+stride", k_shape, true);
    ASSERT_EQ(menu.size(), 3U);
    EXPECT_EQ(menu[0].n_window, 9);
    EXPECT_FALSE(menu[0].rule);
    EXPECT_EQ(menu[1].n_window, 0);
    EXPECT_EQ(menu[1].rule->values[0], 7);
    EXPECT_EQ(menu[1].family, "stride");
    EXPECT_EQ(menu[2].n_window, 512);
    EXPECT_EQ(menu[2].family, "triangle+stride");
}

TEST(Menu, ANameAloneStandsForSettings) {
    EXPECT_EQ(texts_of("stride"), (text_list{"stride:stride=4", "stride:stride=10"}));
    EXPECT_EQ(texts_of("triangle+stride"), (text_list{"triangle+stride:stride=4", "triangle+stride:stride=10"}));
    EXPECT_EQ(texts_of("triangle,stride", true), (text_list{"triangle", "stride:stride=10"})) << "the usual one";
}

TEST(Menu, EveryMethodMayBeNamedAlone) {
    for (const std::string & name : menu_names()) {
        EXPECT_FALSE(texts_of(name).empty()) << name;
        EXPECT_EQ(texts_of(name, true).size(), 1U) << name;
    }
}

TEST(Menu, ErrorsSayWhatWasFoundAndWhatIsAllowed) {
    const auto says = [](const std::string & menu, const std::string & what) {
        EXPECT_NE(refused(menu).find(what), std::string::npos) << refused(menu);
    };
    says("", "found \"\", expected one of: triangle, stride");
    says("triangel", "--menu: \"triangel\": found \"triangel\", expected one of: triangle, stride");
    says("triangle,", "found \"\"");
    says("stride:step=4", "\"stride:step=4\": stride has no \"step\"; it has: stride");
    says("triangle:sink=4", "triangle has no \"sink\"; it has: window");
    says("stride:stride", "\"stride\" has no value; write stride=N");
    says("stride:stride=0", "stride: found \"0\", expected a whole number from 1 to 1048576");
    says("stride:stride=2.5", "expected a whole number");
    says("xattention:stride=12", "stride: found \"12\", expected a");
    says("stride:stride=", "found \"\"");
    says("stride:stride=nan", "found \"nan\"");
    says("stride:stride=4x", "found \"4x\"");
    says("triangle:window=0", "window: found \"0\", expected a whole number from 1");
    says("stride:stride=4:stride=4", "stride is given twice");
    says("stride+stride", "a layer takes one method, and triangle beside it");
    says("triangle+triangle", "triangle is named twice");
    says("stride,stride:stride=4", "stride:stride=4 is on the menu already");
}

TEST(Mix, TextAndPlan) {
    const std::vector<menu_entry> menu =
        parse_menu("stride:stride=7,triangle:window=64,triangle+stride:stride=3", k_shape, false);
    const layer_mix mix = {{1}, {0}, {k_dense}, {2}, {0}};
    EXPECT_EQ(text_of(mix, menu), "stride:stride=7 1,4; triangle:window=64 0; triangle+stride:stride=3 3");
    EXPECT_EQ(text_of(mix_of(5, {}, 0), menu), "dense");
    const plan p = plan_of_mix(mix, menu, k_model, k_shape);
    EXPECT_EQ(p.shape.n_window, 512);
    EXPECT_EQ(p.layers[0].kind, layer_kind::triangle);
    EXPECT_EQ(p.layers[0].own.n_window, 64);
    EXPECT_LT(p.layers[0].dynamic, 0);
    EXPECT_EQ(p.layers[1].kind, layer_kind::dense);
    EXPECT_EQ(p.dynamic[static_cast<size_t>(p.layers[1].dynamic)].selection.values[0], 7);
    EXPECT_EQ(p.layers[1].dynamic, p.layers[4].dynamic);
    EXPECT_EQ(p.layers[2], layer_plan{});
    EXPECT_EQ(p.layers[3].kind, layer_kind::triangle);
    EXPECT_FALSE(p.layers[3].own.any()) << "the plan's window";
    EXPECT_EQ(p.dynamic[static_cast<size_t>(p.layers[3].dynamic)].selection.values[0], 3);
    // And the file format takes it.
    const parsed<plan> read = parse_plan(write_plan(p));
    ASSERT_TRUE(read.ok()) << read.error;
    EXPECT_EQ(read.value.layers, p.layers);
}

choice_table random_table(random_source & random, size_t n_layers, size_t n_entries) {
    choice_table table(n_layers);
    for (std::vector<choice_cost> & layer : table) {
        for (size_t entry = 0; entry < n_entries; ++entry) {
            // Few values, so that ties happen; some save nothing, some do no damage.
            layer.push_back({static_cast<double>(random.below(6)) / 4, static_cast<double>(random.below(7)) - 1,
                             random.below(8) != 0});
        }
    }
    return table;
}

// Calls see(damage, saved) of every combination of what is offered.
template <class See>
void every_combination(const choice_table & table, size_t layer, double damage, double saved, const See & see) {
    if (layer == table.size()) {
        see(damage, saved);
        return;
    }
    every_combination(table, layer + 1, damage, saved, see);
    for (const choice_cost & cost : table[layer]) {
        if (cost.offered) {
            every_combination(table, layer + 1, damage + cost.damage, saved + cost.saved, see);
        }
    }
}

double most_saved(const choice_table & table, double budget) {
    double most = 0;
    every_combination(table, 0, 0, 0, [&](double damage, double saved) {
        if (damage <= budget) {
            most = std::max(most, saved);
        }
    });
    return most;
}

TEST(Frontier, NoCombinationOfAtMostItsDamageSavesMore) {
    random_source random(7);
    for (int round = 0; round < 400; ++round) {
        const choice_table table = random_table(random, 1 + random.below(5), 1 + random.below(4));
        const std::vector<combination> frontier = make_frontier(table);
        EXPECT_EQ(frontier.front().damage, 0);
        EXPECT_EQ(frontier.front().saved, 0);
        for (size_t i = 0; i < frontier.size(); ++i) {
            double damage = 0;
            double saved = 0;
            size_t n_changed = 0;
            for (size_t layer = 0; layer < table.size(); ++layer) {
                const int32_t entry = frontier[i].entries[layer];
                if (entry >= 0) {
                    ASSERT_TRUE(table[layer][static_cast<size_t>(entry)].offered);
                    damage += table[layer][static_cast<size_t>(entry)].damage;
                    saved += table[layer][static_cast<size_t>(entry)].saved;
                }
                n_changed += i > 0 && entry != frontier[i - 1].entries[layer] ? 1 : 0;
            }
            EXPECT_DOUBLE_EQ(damage, frontier[i].damage);
            EXPECT_DOUBLE_EQ(saved, frontier[i].saved);
            // Quarters and whole numbers: their sums are exact.
            if (i + 1 == frontier.size() || frontier[i + 1].damage > frontier[i].damage) {
                EXPECT_EQ(frontier[i].saved, most_saved(table, frontier[i].damage)) << "round " << round;
            }
            if (i > 0) {
                EXPECT_EQ(n_changed, 1U);
                EXPECT_GT(frontier[i].saved, frontier[i - 1].saved);
                EXPECT_GE(frontier[i].damage, frontier[i - 1].damage);
            }
        }
        EXPECT_EQ(frontier.back().saved, most_saved(table, 1e9)) << "the last is the fastest";
    }
}

TEST(Frontier, WhatIsDroppedIsNotMissed) {
    random_source random(8);
    for (int round = 0; round < 400; ++round) {
        const choice_table table = random_table(random, 1 + random.below(4), 1 + random.below(4));
        const double budget = static_cast<double>(random.below(12)) / 4;
        choice_table left = table;
        drop_useless(left, budget);
        EXPECT_EQ(most_saved(left, budget), most_saved(table, budget)) << "round " << round;
        for (const std::vector<choice_cost> & layer : left) {
            for (size_t i = 0; i < layer.size(); ++i) {
                for (size_t j = 0; j < layer.size(); ++j) {
                    if (i != j && layer[i].offered && layer[j].offered) {
                        EXPECT_NE(layer[i].saved > layer[j].saved, layer[i].damage <= layer[j].damage)
                            << "one of them is of no use";
                    }
                }
                EXPECT_TRUE(!layer[i].offered || (layer[i].saved > 0 && layer[i].damage <= budget));
            }
        }
    }
}

TEST(Frontier, DamageThatIsNoNumberIsNeverTaken) {
    choice_table table = {
        {{std::nan(""), 5, true}, {std::numeric_limits<double>::infinity(), 4, true}, {-0.5, 1, true}}};
    const std::vector<combination> frontier = make_frontier(table);
    ASSERT_EQ(frontier.size(), 2U);
    EXPECT_EQ(frontier[1].entries[0], 2);
    EXPECT_EQ(frontier[1].damage, 0) << "below 0 is 0";
    drop_useless(table, 1e300);
    EXPECT_FALSE(table[0][0].offered);
    EXPECT_FALSE(table[0][1].offered);
    EXPECT_TRUE(table[0][2].offered);
}

TEST(Frontier, EqualSlopesGoByLayers) {
    const choice_table table = {{{1, 1, true}}, {{1, 1, true}}, {{0.5, 1, true}}};
    const std::vector<combination> frontier = make_frontier(table);
    ASSERT_EQ(frontier.size(), 4U);
    EXPECT_EQ(frontier[1].entries, (std::vector<int32_t>{-1, -1, 0}));
    EXPECT_EQ(frontier[2].entries, (std::vector<int32_t>{0, -1, 0}));
}

struct asked_size_of {
    int64_t size;
    bool held_out;
    bool operator==(const asked_size_of &) const = default;
};

selection choose_with(int64_t n_sizes, int64_t step, double budget, const std::vector<double> & choosing,
                      const std::vector<double> & held_out, std::vector<asked_size_of> & asked) {
    return choose_size(n_sizes, step, budget, true, [&](int64_t size, bool kept_back) {
        asked.push_back({size, kept_back});
        return (kept_back ? held_out : choosing)[static_cast<size_t>(size)];
    });
}

TEST(SteppingBack, GoesToTheNextCheaperCombinationUntilTheBudgetHolds) {
    const std::vector<double> choosing = {0, 1, 2, 3, 4, 5, 6};
    const std::vector<double> held_out = {0, 1, 1, 9, 9, 9, 9};
    std::vector<asked_size_of> asked;
    const selection s = choose_with(6, 1, 4.5, choosing, held_out, asked);
    EXPECT_EQ(s.size, 2);
    EXPECT_TRUE(s.checked);
    const std::vector<asked_size_of> last = {{4, true}, {3, true}, {2, true}};
    EXPECT_TRUE(std::equal(last.rbegin(), last.rend(), asked.rbegin()));
}

TEST(SteppingBack, SomeAtATimeAndGivesBackWhatTheLastStepTookTooMuch) {
    std::vector<double> choosing(101);
    std::vector<double> held_out(101);
    for (size_t i = 0; i < choosing.size(); ++i) {
        choosing[i] = static_cast<double>(i);
        held_out[i] = static_cast<double>(2 * i);
    }
    std::vector<asked_size_of> asked;
    EXPECT_EQ(choose_with(100, 8, 70, choosing, held_out, asked).size, 35);
}

TEST(SteppingBack, EndsAtDenseWhereNothingHolds) {
    std::vector<asked_size_of> asked;
    const double none = std::nan("");
    EXPECT_EQ(choose_with(3, 1, 1, {0, 0, 0, 0}, {0, none, 2, 2}, asked).size, 0);
    asked.clear();
    EXPECT_EQ(choose_with(0, 1, 1, {0}, {0}, asked).size, 0) << "nothing on the frontier but dense";
    EXPECT_TRUE(asked.empty());
}

time_pair times(double attention, double rest, const std::vector<double> & kept) {
    time_pair t;
    for (const double share : kept) {
        t.dense.push_back({100, 0, attention / static_cast<double>(kept.size())});
        t.sparse.push_back({100 * share, 100 * (1 - share), attention / static_cast<double>(kept.size()) * share});
    }
    t.dense_seconds = attention + rest;
    t.sparse_seconds = sum_of(t.sparse).seconds + rest;
    return t;
}

TEST(EntryTimes, ALayersPartIsItsPartOfThePairsSkipped) {
    const std::vector<double> kept = {0.5, 1, 0.25};
    for (const bool by_statistics : {true, false}) {
        const std::vector<double> saved = saved_by_layer({times(3, 10, kept)}, {0, 1, 2}, by_statistics);
        EXPECT_NEAR(saved[0], 0.5, 1e-12);
        EXPECT_NEAR(saved[1], 0, 1e-12);
        EXPECT_NEAR(saved[2], 0.75, 1e-12);
    }
    EXPECT_EQ(kept_by_layer({times(3, 10, kept)}, {0, 1, 2}, &time_pair::sparse), kept);
}

TEST(EntryTimes, TheMedianOfPromptsAndEqualPartsWhereNothingIsKnown) {
    std::vector<time_pair> prompts = {times(3, 10, {0.5, 0.5}), times(3, 10, {0.5, 0.5}), times(3, 10, {0.5, 0.5})};
    prompts[1].dense_seconds = 1000;  // another program got in the way
    EXPECT_NEAR(saved_by_layer(prompts, {0, 1}, false)[0], 0.75, 1e-12);
    for (time_pair & p : prompts) {
        for (layer_cost & cost : p.sparse) {
            cost = {100, 0, 0};
        }
    }
    EXPECT_EQ(saved_by_layer(prompts, {0, 1}, false), (std::vector<double>{0.75, 0.75}));
    EXPECT_EQ(saved_by_layer(prompts, {1}, false), std::vector<double>{1.5}) << "only layers that can take it";
}

}  // namespace
}  // namespace tmx::test
