// What a plan is compiled to: layers that do the same have the same number, and no others.
#include "trianglemix/head_rules.h"

#include <gtest/gtest.h>

namespace tmx {
namespace {

dynamic_rule rule_of(double stride, int64_t min_tokens = 0) {
    dynamic_rule rule{.selection = usual_rule(0), .min_tokens = min_tokens};
    rule.selection.values[0] = stride;
    return rule;
}

plan mixed_plan() {
    plan p;
    p.layers.resize(9);
    p.dynamic = {rule_of(10), rule_of(5), rule_of(10)};
    p.layers[1].kind = layer_kind::triangle;
    p.layers[2].kind = layer_kind::triangle;
    p.layers[2].dense_head = {0, 1};
    p.layers[3].dynamic = 0;
    p.layers[4].dynamic = 1;
    p.layers[5].kind = layer_kind::triangle;
    p.layers[5].dynamic = 2;
    p.layers[6].dynamic = 2;  // the same rule as layer 3's, named apart
    p.layers[7] = p.layers[2];
    return p;
}

TEST(head_rules, equal_numbers_mean_equal_treatment) {
    const compiled_rules rules(mixed_plan());
    const auto id = [&](int32_t layer) { return rules.of_layer(layer).id; };
    EXPECT_EQ(id(3), id(6));
    EXPECT_EQ(id(2), id(7));
    EXPECT_EQ(id(0), id(8));
    for (const auto & [a, b] : {std::pair{1, 2}, {1, 3}, {3, 4}, {3, 5}, {1, 5}, {0, 1}, {0, 3}}) {
        EXPECT_NE(id(a), id(b)) << a << " " << b;
    }
}

TEST(head_rules, some_heads_of_a_layer_do_what_they_do_among_all) {
    plan p = mixed_plan();
    p.layers[2].dense_head = {0, 1, 0, 0, 1, 1};
    p.layers[8].head_dynamic = {-1, 1, 1, -1, 0, 0};
    compiled_rules rules(p);
    const layer_heads & all = rules.of_layer(2);
    const layer_heads & first = rules.part_of(all, {.first = 0, .n = 2, .total = 6});
    const layer_heads & rest = rules.part_of(all, {.first = 2, .n = 4, .total = 6});
    EXPECT_EQ(first.dense_head, (std::vector<uint8_t>{0, 1}));
    EXPECT_EQ(rest.dense_head, (std::vector<uint8_t>{0, 0, 1, 1}));
    EXPECT_TRUE(first.banded);
    const layer_heads & selecting = rules.part_of(rules.of_layer(8), {.first = 1, .n = 3, .total = 6});
    EXPECT_EQ(selecting.rule_of_head.size(), 3u);
    EXPECT_EQ(selecting.rule_of_head[0], selecting.rule_of_head[1]);
    EXPECT_EQ(selecting.rule_of_head[2], k_keeps_all);
    for (const layer_heads * a : {&all, &first, &rest, &selecting}) {
        for (int32_t layer = 0; layer < 9; ++layer) {
            EXPECT_EQ(a->id == rules.of_layer(layer).id, a == &all && (layer == 2)) << layer;
        }
    }
    EXPECT_NE(first.id, rest.id);
    EXPECT_EQ(&rules.part_of(all, {.first = 0, .n = 2, .total = 6}), &first) << "once made, it is found";
    EXPECT_EQ(&rules.part_of(all, head_range::all(6)), &all);
    EXPECT_EQ(&rules.part_of(rules.of_layer(1), {.first = 2, .n = 4, .total = 6}), &rules.of_layer(1))
        << "heads that all do the same";
}

TEST(head_rules, say_what_a_layer_keeps) {
    const compiled_rules rules(mixed_plan());
    EXPECT_EQ(rules.of_layer(0).id, 0);
    EXPECT_TRUE(rules.of_layer(0).dense());
    EXPECT_TRUE(rules.of_layer(1).banded);
    EXPECT_TRUE(rules.of_layer(1).rules.empty());
    EXPECT_EQ(rules.of_layer(2).dense_head, (std::vector<uint8_t>{0, 1}));
    EXPECT_TRUE(rules.of_layer(2).fits(2));
    EXPECT_FALSE(rules.of_layer(2).fits(4));
    EXPECT_TRUE(rules.of_layer(1).fits(4));
    EXPECT_FALSE(rules.of_layer(4).banded);
    ASSERT_EQ(rules.of_layer(4).rules.size(), 1u);
    EXPECT_EQ(rules.of_layer(4).rules[0].selection.values[0], 5);
    EXPECT_TRUE(rules.of_layer(4).rule_of_head.empty());
    EXPECT_TRUE(rules.of_layer(5).banded);
    EXPECT_EQ(rules.of_layer(5).rules.size(), 1u);
}

TEST(head_rules, bands_of_their_own_tell_layers_apart) {
    plan p;
    p.layers.resize(3);
    for (layer_plan & layer : p.layers) {
        layer.kind = layer_kind::triangle;
    }
    p.layers[1].own.n_window = 64;
    const compiled_rules rules(p);
    EXPECT_EQ(rules.of_layer(0).id, rules.of_layer(2).id);
    EXPECT_NE(rules.of_layer(0).id, rules.of_layer(1).id);
}

TEST(head_rules, of_heads_are_numbered_by_their_crossover) {
    plan p;
    p.layers.resize(3);
    p.dynamic = {rule_of(3, 500), rule_of(4), rule_of(3, 500), rule_of(5, 900)};
    p.layers[0].head_dynamic = {0, 1, -1, 3, 2};
    p.layers[1] = p.layers[0];
    p.layers[1].kind = layer_kind::triangle;
    p.layers[1].dense_head = {0, 0, 1, 0, 0};
    p.layers[2] = p.layers[0];
    p.layers[2].kind = layer_kind::triangle;
    const compiled_rules rules(p);
    const layer_heads & heads = rules.of_layer(0);
    EXPECT_EQ(heads.rules, (std::vector<dynamic_rule>{rule_of(4), rule_of(3, 500), rule_of(5, 900)}));
    EXPECT_EQ(heads.rule_of_head, (std::vector<int32_t>{1, 0, k_keeps_all, 2, 1}));
    EXPECT_EQ(heads.otherwise(), k_keeps_all);
    EXPECT_EQ(rules.of_layer(1).rule_of_head, heads.rule_of_head) << "head 2 is exempt";
    EXPECT_EQ(rules.of_layer(2).rule_of_head, (std::vector<int32_t>{1, 0, k_keeps_band, 2, 1}));
    EXPECT_EQ(rules.of_layer(2).otherwise(), k_keeps_band);
    EXPECT_FALSE(heads.fits(4));
    EXPECT_TRUE(heads.fits(5));
    for (const auto & [n_keys, n_in_force] :
         {std::pair{int64_t{1}, 1u}, {int64_t{499}, 1u}, {int64_t{500}, 2u}, {int64_t{900}, 3u}}) {
        EXPECT_EQ(heads.n_in_force(n_keys), n_in_force) << n_keys;
    }
}

TEST(head_rules, exempt_heads_select_nothing) {
    plan p = mixed_plan();
    p.layers[5].dense_head = {0, 1, 0};
    const compiled_rules rules(p);
    EXPECT_EQ(rules.of_layer(5).rule_of_head, (std::vector<int32_t>{0, k_keeps_all, 0}));
    EXPECT_EQ(rules.of_layer(5).dense_head, (std::vector<uint8_t>{0, 1, 0})) << "for rows that no rule is in force for";
}

TEST(head_rules, layers_that_the_plan_does_not_know_are_dense) {
    const compiled_rules rules(mixed_plan());
    EXPECT_EQ(rules.of_layer(-1).id, 0);
    EXPECT_EQ(rules.of_layer(9).id, 0);
    EXPECT_EQ(compiled_rules().of_layer(0).id, 0);
}

}  // namespace
}  // namespace tmx
