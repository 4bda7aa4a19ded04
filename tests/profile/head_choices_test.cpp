// Heads in place of layers: of a start those that alone do most, and in a menu those of layers that take nothing. What
// is measured is made up.
#include "planner/heads/head_choices.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "planner/start/harmful_heads.h"

namespace tmx::test {
namespace {

using unit_list = std::vector<unit>;

// Harms add up.
class Alone {
  public:
    explicit Alone(std::map<unit, double> harms) : harms_(std::move(harms)) {}

    unit_list harmful() {
        unit_list units;
        for (const auto & [head, harm] : harms_) {
            units.push_back(head);
        }
        return harmful_alone(units, [this](const unit_list & alone) {
            asked.push_back(alone);
            double sum = 0;
            for (const unit & u : alone) {
                sum += harms_.at(u);
            }
            return sum;
        });
    }

    std::vector<unit_list> asked;

  private:
    std::map<unit, double> harms_;
};

TEST(HarmfulAlone, OnlyHeadsOfLayersThatDoMoreThanTheirShareAreMeasured) {
    Alone start({{{0, 1}, 1}, {{0, 2}, 1}, {{3, 0}, 9}, {{3, 4}, 1}, {{3, 5}, 1}, {{7, 0}, 1}});
    EXPECT_EQ(start.harmful(), (unit_list{{3, 0}})) << "9 is more than three times 14 / 6";
    EXPECT_EQ(start.asked, (std::vector<unit_list>{
                               {{0, 1}, {0, 2}}, {{3, 0}, {3, 4}, {3, 5}}, {{7, 0}}, {{3, 0}}, {{3, 4}}, {{3, 5}}}));
}

TEST(HarmfulAlone, WhereAllDoTheSameNoneAreGivenBack) {
    Alone equal({{{0, 1}, 1}, {{0, 2}, 1}, {{3, 0}, 1}});
    EXPECT_TRUE(equal.harmful().empty());
    Alone none({{{0, 1}, 0}, {{3, 0}, 0}});
    EXPECT_TRUE(none.harmful().empty());
    Alone no_number({{{0, 1}, std::nan("")}, {{3, 0}, 1}});
    EXPECT_TRUE(no_number.harmful().empty());
}

TEST(HarmfulAlone, LayersAreNotMeasured) {
    Alone layers({{{0, -1}, 1}, {{3, -1}, 9}});
    EXPECT_TRUE(layers.harmful().empty());
    EXPECT_TRUE(layers.asked.empty());
    EXPECT_TRUE(harmful_alone({}, [](const unit_list &) { return 1.0; }).empty());
}

TEST(PromptGroups, TheHalfOfTheContextsWhoseAnswersChangeMost) {
    EXPECT_EQ(most_telling_half({{{4, 5}, 1}, {{6, 7}, 3}, {{8, 9}, 2}}), (std::vector<size_t>{6, 7, 8, 9}));
    EXPECT_EQ(most_telling_half({{{4}, 1}, {{6}, 1}, {{8}, 2}, {{9}, 1}}), (std::vector<size_t>{4, 8}));
    EXPECT_EQ(most_telling_half({{{4}, 1}, {{6}, std::nan("")}}), (std::vector<size_t>{6}));
    EXPECT_EQ(most_telling_half({{{4, 5}, 0}}), (std::vector<size_t>{4, 5}));
}

const triangle_shape k_shape{8, 512, 128};

// Three layers of four heads, a menu of two. The second layer does most of what the entries do.
planner_result result_of_layers() {
    planner_result r;
    r.facts.n_layer = 3;
    r.facts.n_head = 4;
    r.menu = parse_menu("stride:stride=3,stride:stride=9", k_shape, false);
    r.layers = {0, 1, 2};
    r.floors = {0, 0.5, 0};
    measured_choice careful;
    careful.at_short = {true, 1, 1, 1};
    careful.saved = 3;
    careful.kept_share = 0.4;
    careful.start_share = 0.8;
    measured_choice bold = careful;
    bold.at_short.mean_kl = 2;
    bold.kept_share = 0.2;
    r.choices.assign(3, {careful, bold});
    r.choices[1][0].at_short.mean_kl = 4.5;
    r.choices[1][1].at_short.mean_kl = 20;
    return r;
}

lone_head head_of(int32_t layer, int32_t head, double mean_kl, double skipped) {
    return {{layer, head}, {static_cast<size_t>(layer), 0}, {true, 0, 0, mean_kl}, skipped};
}

TEST(HeadChoices, LayersThatTakeNothingWithTheirLeastHarmfulEntry) {
    planner_result r = result_of_layers();
    EXPECT_EQ(layers_left(r, {{1, -1, -1}, 0, 0}, planner_aim::pairs), (std::vector<lone_choice>{{1, 0}, {2, 0}}));
    r.choices[1][0].at_short.measured = false;
    EXPECT_EQ(layers_left(r, {{1, -1, 0}, 0, 0}, planner_aim::pairs), (std::vector<lone_choice>{{1, 1}}));
    r.choices[1][1].kept_share = 0.8;
    EXPECT_TRUE(layers_left(r, {{1, -1, 0}, 0, 0}, planner_aim::pairs).empty()) << "nothing saves";
}

TEST(HeadChoices, HeadsThatTheStartLeavesDense) {
    EXPECT_EQ(free_heads(1, 3, {}), (unit_list{{1, 0}, {1, 1}, {1, 2}}));
    layer_plan heads;
    heads.kind = layer_kind::triangle;
    EXPECT_TRUE(free_heads(1, 3, {{}, heads}).empty());
    heads.dense_head = {1, 0, 1};
    EXPECT_EQ(free_heads(1, 3, {{}, heads}), (unit_list{{1, 0}, {1, 2}}));
    EXPECT_EQ(on_heads({{1, 0}, {1, 2}}, 3, 5), (layer_entry{k_dense, {5, k_dense, 5}}));
    EXPECT_EQ(on_heads({{1, 0}, {1, 1}, {1, 2}}, 3, 5), (layer_entry{5, {}})) << "the layer";
}

TEST(HeadChoices, PartsOfTheirLayerTakeItsPlaceInTheTable) {
    planner_result r = result_of_layers();
    // Alone, they skip more than together, and beyond the floor they do 4 in all, of which their layer does as much.
    add_heads(r, {head_of(1, 0, 0.5, 10), head_of(1, 2, 3.5, 10), head_of(1, 3, 1.5, 20)});
    EXPECT_EQ(r.heads, (unit_list{{1, 0}, {1, 2}, {1, 3}}));
    const choice_table table = table_of(r, planner_aim::pairs);
    ASSERT_EQ(table.size(), 6U);
    EXPECT_TRUE(table[0][0].offered && table[2][1].offered);
    EXPECT_FALSE(table[1][0].offered || table[1][1].offered);
    EXPECT_FALSE(table[3][1].offered) << "not measured";
    EXPECT_NEAR(table[3][0].damage, 0, 1e-12);
    EXPECT_NEAR(table[4][0].damage, 3, 1e-12);
    EXPECT_NEAR(table[5][0].damage, 1, 1e-12);
    EXPECT_NEAR(table[3][0].saved, 0.1, 1e-12);
    EXPECT_NEAR(table[5][0].saved, 0.2, 1e-12);
    add_heads(r, {{{1, 0}, {1, 1}, {true, 0, 0, 1.5}, 1}, {{1, 2}, {1, 1}, {true, 0, 0, 9.5}, 3}});
    EXPECT_EQ(r.heads.size(), 3U) << "the same heads with another entry";
    EXPECT_NEAR(table_of(r, planner_aim::pairs)[3][1].damage, 1.95, 1e-12);
    EXPECT_NEAR(table_of(r, planner_aim::pairs)[3][1].saved, 0.15, 1e-12);
    EXPECT_NEAR(saved_seconds(r, {{-1, -1, -1, 0, 0, -1}, 0, 0}), 1.5, 1e-12);
}

TEST(HeadChoices, AMixOfLayersAndHeads) {
    planner_result r = result_of_layers();
    add_heads(r, {head_of(1, 0, 1, 1), head_of(1, 2, 1, 1)});
    const layer_mix some = mix_of_combination(r, {{1, -1, -1, 0, -1}, 0, 0});
    EXPECT_EQ(text_of(some, r.menu), "stride:stride=3 heads 1:0; stride:stride=9 0");
    EXPECT_EQ(some[1], (layer_entry{k_dense, {0, k_dense, k_dense, k_dense}}));
    const layer_mix both = mix_of_combination(r, {{-1, -1, -1, 0, 1}, 0, 0});
    EXPECT_EQ(text_of(both, r.menu), "stride:stride=3 heads 1:0; stride:stride=9 heads 1:2");
    const layer_mix all = mix_of_combination(r, {{0, -1, -1, 0, 0}, 0, 0});
    EXPECT_EQ(text_of(all, r.menu), "stride:stride=3 0-1") << "all heads that the start leaves it";
    EXPECT_EQ(text_of({{0, {}}, {-1, {-1, 0, 0, -1}}, {-1, {0, -1, -1, 0}}}, r.menu),
              "stride:stride=3 0 heads 1:1-2;2:0,3");
}

TEST(HeadChoices, ThePlanOfHeadsOnAStart) {
    const std::vector<menu_entry> menu = parse_menu("stride:stride=3,triangle,stride:stride=9", k_shape, false);
    const model_shape model{"llama", 4, 4, 2, 64};
    std::vector<layer_plan> start(4);
    start[1].kind = start[2].kind = layer_kind::triangle;
    start[1].dense_head = start[2].dense_head = {1, 0, 1, 1};
    const layer_mix mix = {{-1, {-1, 0, -1, -1}}, {-1, {0, -1, -1, 0}}, {-1, {1, -1, -1, -1}}, {-1, {-1, 2, 1, 1}}};
    const plan p = plan_of_mix(mix, menu, model, k_shape, start);
    EXPECT_EQ(p.layers[0].kind, layer_kind::dense);
    EXPECT_EQ(p.layers[0].head_dynamic, (std::vector<int32_t>{-1, 0, -1, -1}));
    EXPECT_EQ(p.layers[1].kind, layer_kind::triangle);
    EXPECT_EQ(p.layers[1].dense_head, (std::vector<uint8_t>{0, 0, 1, 0}));
    EXPECT_EQ(p.layers[1].head_dynamic, (std::vector<int32_t>{1, -1, -1, 1}));
    EXPECT_EQ(p.layers[2].dense_head, (std::vector<uint8_t>{0, 0, 1, 1}));
    EXPECT_FALSE(p.layers[2].is_dynamic());
    EXPECT_EQ(p.layers[3].dense_head, (std::vector<uint8_t>{1, 0, 0, 0}));
    EXPECT_EQ(p.layers[3].head_dynamic, (std::vector<int32_t>{-1, 2, -1, -1}));
    EXPECT_EQ(p.dynamic.at(2).selection.values.at(0), 9);
    const parsed<plan> read = parse_plan(write_plan(p));
    ASSERT_TRUE(read.ok()) << read.error;
    EXPECT_EQ(read.value.layers, p.layers);
    // A head that is triangle already takes nothing.
    EXPECT_EQ(plan_of_mix({{}, {-1, {-1, 0, -1, -1}}, {}, {}}, menu, model, k_shape, start).layers[1], start[1]);
}

}  // namespace
}  // namespace tmx::test
