// What a plan is compiled to: layers that do the same have the same number, and no others.
#include "trianglemix/head_rules.h"

#include <gtest/gtest.h>

namespace tmx {
namespace {

plan mixed_plan() {
    plan p;
    p.layers.resize(9);
    p.dynamic = {usual_rule(0), usual_rule(0), usual_rule(0)};
    p.dynamic[1].values[0] = 5;
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
    EXPECT_EQ(rules.of_layer(1).rule.id, rules.of_layer(2).rule.id) << "but for the exempt heads";
}

TEST(head_rules, say_what_a_layer_keeps) {
    const compiled_rules rules(mixed_plan());
    EXPECT_EQ(rules.of_layer(0).id, 0);
    EXPECT_TRUE(rules.of_layer(0).rule.dense());
    EXPECT_TRUE(rules.of_layer(1).rule.banded);
    EXPECT_FALSE(rules.of_layer(1).rule.selection);
    EXPECT_EQ(rules.of_layer(2).dense_head, (std::vector<uint8_t>{0, 1}));
    EXPECT_TRUE(rules.of_layer(2).fits(2));
    EXPECT_FALSE(rules.of_layer(2).fits(4));
    EXPECT_TRUE(rules.of_layer(1).fits(4));
    EXPECT_FALSE(rules.of_layer(4).rule.banded);
    ASSERT_TRUE(rules.of_layer(4).rule.selection);
    EXPECT_EQ(rules.of_layer(4).rule.selection->values[0], 5);
    EXPECT_TRUE(rules.of_layer(5).rule.banded);
    EXPECT_TRUE(rules.of_layer(5).rule.selection);
}

TEST(head_rules, layers_that_the_plan_does_not_know_are_dense) {
    const compiled_rules rules(mixed_plan());
    EXPECT_EQ(rules.of_layer(-1).id, 0);
    EXPECT_EQ(rules.of_layer(9).id, 0);
    EXPECT_EQ(compiled_rules().of_layer(0).id, 0);
}

}  // namespace
}  // namespace tmx
