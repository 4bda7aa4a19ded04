// Mixes that start from a plan: which plans may be one, what layers then do, what counts as saved and as damage.
#include <gtest/gtest.h>

#include "planner/entry_times.h"
#include "planner/layer_mix.h"
#include "planner/lone_choices.h"
#include "planner/mix_applied.h"
#include "planner/start/start_plan.h"
#include "profile/policy.h"

namespace tmx::test {
namespace {

using json = nlohmann::ordered_json;

// sink 1, window 2, last 1: of the 21 pairs a head of a prompt of 6 tokens a triangle head drops 3.
const triangle_shape k_shape{1, 2, 1};
const model_shape k_model{"llama", 4, 3, 1, 64};
constexpr int64_t k_tokens = 6;

// Layer 0 is dense, 1 triangle, of 2 and 3 head 1.
plan start_of_heads() {
    plan p;
    p.model = k_model;
    p.shape = k_shape;
    p.layers.resize(4);
    for (const size_t layer : {1U, 2U, 3U}) {
        p.layers[layer].kind = layer_kind::triangle;
    }
    p.layers[2].dense_head = p.layers[3].dense_head = {1, 0, 1};
    return p;
}

const std::vector<menu_entry> k_menu = parse_menu("triangle,stride:stride=3,triangle:window=3", k_shape, false);

plan plan_on_start(const layer_mix & mix) {
    return plan_of_mix(mix, k_menu, k_model, k_shape, start_of_heads().layers);
}

TEST(StartPlan, AnEntryIsWhatTheOtherHeadsDo) {
    const plan p = plan_on_start({{1}, {1}, {1}, {1}});
    EXPECT_EQ(p.layers[0].kind, layer_kind::dense);
    EXPECT_GE(p.layers[0].dynamic, 0);
    EXPECT_EQ(p.layers[1], start_of_heads().layers[1]) << "no head is left to select";
    EXPECT_EQ(p.layers[2].kind, layer_kind::triangle);
    EXPECT_TRUE(p.layers[2].dense_head.empty());
    const int32_t rule = p.layers[2].head_dynamic.at(0);
    EXPECT_EQ(p.layers[2].head_dynamic, (std::vector<int32_t>{rule, -1, rule}));
    EXPECT_EQ(p.layers[3], p.layers[2]);
    EXPECT_NE(rule, p.layers[0].dynamic) << "a rule of a file is for the same heads in all its layers";
    const parsed<plan> read = parse_plan(write_plan(p));
    ASSERT_TRUE(read.ok()) << read.error;
    EXPECT_EQ(read.value.layers, p.layers);
}

TEST(StartPlan, TriangleTakesTheWholeLayerAndNoEntryLeavesItAsItWas) {
    const plan p = plan_on_start({{k_dense}, {k_dense}, {0}, {k_dense}});
    EXPECT_EQ(p.layers[0], layer_plan{});
    EXPECT_EQ(p.layers[2].kind, layer_kind::triangle);
    EXPECT_TRUE(p.layers[2].dense_head.empty());
    EXPECT_EQ(p.layers[3], start_of_heads().layers[3]);
    EXPECT_EQ(plan_on_start({{k_dense}, {k_dense}, {2}, {k_dense}}).layers[2].own.n_window, 3);
}

json layer_json(int32_t layer, int n_dynamic, double kept, double skipped) {
    return {{"layer", layer},
            {"nodes", {{"dynamic", n_dynamic}}},
            {"pairs", {{"kept", kept}, {"skipped", skipped}, {"masked", 0}}},
            {"seconds", 0.5}};
}

std::string why(const layer_mix & mix, std::vector<json> layers) {
    backend_statistics s;
    s.raw["layers"] = std::move(layers);
    return why_not_applied(s, mix, k_menu, plan_on_start(mix), k_tokens, 0);
}

TEST(StartPlan, WhatItsHeadsSkipIsChecked) {
    const layer_mix mix = {{k_dense}, {k_dense}, {k_dense}, {1}};
    const json layer_1 = layer_json(1, 0, 54, 9);
    const json layer_2 = layer_json(2, 0, 60, 3);
    EXPECT_EQ(why(mix, {layer_1, layer_2, layer_json(3, 1, 50, 13)}), "");
    EXPECT_NE(why(mix, {layer_1, layer_json(2, 0, 54, 9), layer_json(3, 1, 50, 13)}).find("layer 2 as the plan"),
              std::string::npos);
    EXPECT_NE(why(mix, {layer_1, layer_2, layer_json(3, 0, 60, 3)}).find("layer 3 as stride"), std::string::npos);
}

std::string refused(const plan & value) {
    try {
        static_cast<void>(make_start("heads.json", value, k_model, k_shape));
    } catch (const contradiction & error) {
        return error.what();
    }
    return "";
}

TEST(StartPlan, OnlyTriangleLayersAndHeadsOfThisShapeAndModel) {
    plan good = start_of_heads();
    EXPECT_EQ(refused(good), "");
    good.layers.pop_back();
    EXPECT_EQ(make_start("heads.json", good, k_model, k_shape).value.layers.size(), 4U);
    plan other = start_of_heads();
    other.model.n_layer = 5;
    EXPECT_NE(refused(other).find("--start heads.json: plan is for 5 layers"), std::string::npos) << refused(other);
    other = start_of_heads();
    other.shape.n_window = 3;
    EXPECT_NE(refused(other).find("are 1, 3 and 1, here they are 1, 2 and 1"), std::string::npos) << refused(other);
    const std::string nothing_else = "triangle layers and heads, and nothing else";
    EXPECT_NE(refused(plan_on_start({{1}, {k_dense}, {k_dense}, {k_dense}})).find(nothing_else), std::string::npos);
    EXPECT_NE(refused(plan_on_start({{2}, {k_dense}, {k_dense}, {k_dense}})).find(nothing_else), std::string::npos);
    other = start_of_heads();
    other.layers.assign(4, {});
    EXPECT_NE(refused(other).find(nothing_else), std::string::npos) << "it would be none";
}

TEST(StartPlan, RecordsKnowItByItsLayersAlone) {
    plan named = start_of_heads();
    named.name = "other";
    named.provenance = "{\"a\":1}";
    const std::string hash = make_start("a.json", start_of_heads(), k_model, k_shape).sha256;
    EXPECT_EQ(make_start("b.json", named, k_model, k_shape).sha256, hash);
    named.layers[3].dense_head = {1, 1, 0};
    EXPECT_NE(make_start("b.json", named, k_model, k_shape).sha256, hash);
}

start_plan start_of(const plan & value) {
    return make_start("heads.json", value, k_model, k_shape);
}

TEST(StartPlan, ItsHeadsCanBeGivenBack) {
    const start_plan start = start_of(start_of_heads());
    const std::vector<unit> units = {{1, 0}, {1, 1}, {1, 2}, {2, 1}, {3, 1}};
    EXPECT_EQ(units_of(start), units) << "a triangle layer is its heads";
    const std::vector<unit> given_back = {{1, 2}, {2, 1}};
    const start_plan left = start_without(start, given_back);
    EXPECT_EQ(units_of(left), (std::vector<unit>{{1, 0}, {1, 1}, {3, 1}}));
    EXPECT_EQ(left.value.layers[1].dense_head, (std::vector<uint8_t>{0, 0, 1}));
    EXPECT_EQ(left.value.layers[2], layer_plan{}) << "no head of it is left";
    EXPECT_EQ(left.value.layers[3], start.value.layers[3]);
    EXPECT_NE(left.sha256, start.sha256) << "its records are others";
    EXPECT_EQ(start_without(start, {}).sha256, start.sha256);
    EXPECT_EQ(start_of(left.value).sha256, left.sha256) << "and those of a plan that has no more";
    const start_plan none = start_without(start, units);
    EXPECT_FALSE(none.value.any_triangle());
    EXPECT_TRUE(parse_plan(write_plan(none.value)).ok());
}

TEST(StartPlan, WithoutHeadsLayersAreGivenBack) {
    plan layers = start_of_heads();
    for (layer_plan & layer : layers.layers) {
        layer.dense_head.clear();
    }
    model_shape unknown = k_model;
    unknown.n_head = layers.model.n_head = 0;
    const start_plan start = make_start("layers.json", layers, unknown, k_shape);
    EXPECT_EQ(units_of(start), (std::vector<unit>{{1, -1}, {2, -1}, {3, -1}}));
    const std::vector<unit> given_back = {{2, -1}};
    EXPECT_EQ(units_of(start_without(start, given_back)), (std::vector<unit>{{1, -1}, {3, -1}}));
    EXPECT_EQ(text_of_start(start, given_back), "start without layer 2");
    EXPECT_EQ(text_of_start(start, {{1, -1}, {2, -1}}), "start without 1-2");
}

TEST(StartPlan, PeopleReadWhatItIsWithout) {
    const start_plan start = start_of(start_of_heads());
    EXPECT_EQ(text_of_start(start, {}), "start");
    EXPECT_EQ(text_of_start(start, {{1, 0}, {1, 1}, {1, 2}}), "start without layer 1");
    EXPECT_EQ(text_of_start(start, {{2, 1}}), "start without layer 2") << "it has one head";
    EXPECT_EQ(text_of_start(start, {{1, 2}}), "start without head 2 of layer 1");
    EXPECT_EQ(text_of_start(start, {{1, 0}, {1, 2}, {3, 1}}), "start without 1:0,2;3:1");
}

TEST(StartPlan, OnlyWhatIsSkippedBesidesCountsAsSaved) {
    time_pair t;
    t.dense = {{50, 50, 0}, {100, 0, 0}};
    t.sparse = {{25, 75, 0}, {25, 75, 0}};
    t.dense_seconds = 5;
    t.sparse_seconds = 1;
    EXPECT_EQ(saved_by_layer({t}, {0, 1}, false), (std::vector<double>{1, 3}));
    EXPECT_EQ(kept_by_layer({t}, {0, 1}, &time_pair::dense), (std::vector<double>{0.5, 1}));
    measured_choice choice;
    choice.kept_share = 0.25;
    choice.start_share = 0.5;
    EXPECT_EQ(saving_of(choice, planner_aim::pairs), 0.25);
}

TEST(StartPlan, WhatItSkipsIsSavedByNobody) {
    planner_result r;
    r.layers = {0, 1};
    r.facts.n_layer = 2;
    r.choosing = {{100, 99, {0}}};
    mix_effect start;
    start.layers = {{50, 50, 0}, {100, 0, 0}};
    r.dense.effects = {start};
    measured_choice choice;
    choice.at_short = {true, 0, 0, 0.03};
    choice.at_long = {true, 0, 0, 0.06};
    choice.kept_share = 0.25;
    r.choices.assign(2, {choice});
    r.choices[0][0].start_share = 0.5;
    r.floors = {0.02, 0.02};
    EXPECT_NEAR(damage_counted(r, 0, 0), 0.04, 1e-15);
    EXPECT_NEAR(predicted_share(r, {{-1, -1}, 0, 0}), 0.75, 1e-15);
    EXPECT_NEAR(predicted_share(r, {{0, -1}, 0, 0}), 0.625, 1e-15);
    EXPECT_NEAR(predicted_share(r, {{0, 0}, 0, 0}), 0.25, 1e-15);
}

}  // namespace
}  // namespace tmx::test
