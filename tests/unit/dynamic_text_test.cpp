// Rules for dynamic layers as users type them.
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "trianglemix/plan.h"

namespace tmx {
namespace {

using rules = std::vector<dynamic_layers>;

TEST(dynamic_text, values_in_their_order) {
    const parsed<rules> full = parse_dynamic_layers("stride:12@0-2,5", -1);
    ASSERT_EQ(full.error, "");
    ASSERT_EQ(full.value.size(), 1u);
    EXPECT_EQ(full.value[0].rule.selection.values[0], 12);
    EXPECT_EQ(full.value[0].rule.min_tokens, 0);
    EXPECT_EQ(full.value[0].layers, (std::vector<int32_t>{0, 1, 2, 5}));
    EXPECT_EQ(parse_dynamic_layers("stride@3", -1).value[0].rule.selection, usual_rule(0));
}

TEST(dynamic_text, named_values) {
    const parsed<rules> named = parse_dynamic_layers("stride:min_tokens=4096,stride=7@1", -1);
    ASSERT_EQ(named.error, "");
    EXPECT_EQ(named.value[0].rule.selection.values[0], 7);
    EXPECT_EQ(named.value[0].rule.min_tokens, 4096);
    EXPECT_EQ(parse_dynamic_layers("stride:min_tokens=5@1", -1).value[0].rule.selection, usual_rule(0));
}

TEST(dynamic_text, several_rules) {
    const parsed<rules> two = parse_dynamic_layers("stride:12@0-2;stride:stride=3@4,6", -1);
    ASSERT_EQ(two.error, "");
    ASSERT_EQ(two.value.size(), 2u);
    EXPECT_EQ(two.value[1].rule.selection.values[0], 3);
    plan p;
    add_dynamic_layers(two.value, p);
    ASSERT_EQ(p.layers.size(), 7u);
    const std::vector<int32_t> expected = {0, 0, 0, -1, 1, -1, 1};
    for (size_t layer = 0; layer < expected.size(); ++layer) {
        EXPECT_EQ(p.layers[layer].dynamic, expected[layer]) << layer;
    }
    EXPECT_EQ(p.dynamic.size(), 2u);
    // A rule of no layer says nothing, and is no rule of the plan.
    plan none;
    add_dynamic_layers(parse_dynamic_layers("stride@none", -1).value, none);
    EXPECT_TRUE(none.dynamic.empty());
}

TEST(dynamic_text, errors_say_what_was_found_and_what_is_known) {
    const std::string whole = "expected a whole number from 1 to 1048576";
    const std::vector<std::pair<std::string, std::string>> bad = {
        {"stride:10", R"(found "stride:10", expected a method and layers such as "stride:10@0-9")"},
        {"stride:x@0", R"(stride: found "x", )" + whole},
        {"stride:2.5@0", R"(stride: found "2.5", )" + whole},
        {"stride:0@0", R"(stride: found "0", )" + whole},
        {"stride:@0", R"(stride: found "", )" + whole},
        {"stride:1:2@0", "more values than the method has parameters, of which there are 1"},
        {"stride:1:@0", "more values than the method has parameters, of which there are 1"},
        {"stride:1@9", R"(layer set "9": layer 9 does not exist; layers are 0 to 3)"},
        {"stride:stride=0@0", R"(stride: found "0", )" + whole},
        {"stride:stride=@0", R"(stride: found "", )" + whole},
        {"stride:tau=0.9@0", R"(found "tau", expected one of: stride, min_tokens)"},
        {"stride:stride=2,@0", R"(found "", expected one of: stride, min_tokens)"},
        {"stride:stride=2,3@0", R"(found "3", expected one of: stride, min_tokens)"},
        {"stride:stride=2,stride=3@0", R"("stride" is given twice)"},
        {"stride:min_tokens=-1@0", R"(min_tokens: found "-1", expected a whole number from 0 to 2147483647)"},
        {"stride:1@0;", R"(found "", expected a method and layers such as "stride:10@0-9")"},
        {"stride:1@0-1;stride:2@1", "layer 1 is in two rules"},
    };
    for (const auto & [text, error] : bad) {
        EXPECT_EQ(parse_dynamic_layers(text, 4).error, error) << text;
    }
    EXPECT_TRUE(parse_dynamic_layers("strode:10@0", 4).error.starts_with(R"(found "strode", expected one of: stride)"));
}

TEST(dynamic_text, a_rule_is_formatted_as_it_is_read) {
    for (int32_t method = 0; method < selection_methods(); ++method) {
        const selection_rule rule = usual_rule(method);
        const parsed<rules> read = parse_dynamic_layers(format_selection(rule) + "@0", -1);
        ASSERT_EQ(read.error, "") << format_selection(rule);
        EXPECT_EQ(read.value[0].rule.selection, rule);
    }
    EXPECT_EQ(format_selection(usual_rule(*find_selection_method("stride"))), "stride:stride=10");
}

}  // namespace
}  // namespace tmx
