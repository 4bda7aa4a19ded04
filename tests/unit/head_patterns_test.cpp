// Tables of MInference, and plans of heads' patterns.
#include "trianglemix/head_patterns.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace tmx {
namespace {

const model_shape k_model{"llama", 2, 4, 2, 64};

constexpr head_pattern lines(int32_t vertical, int32_t slash) {
    return {head_pattern::kind::vertical_slash, vertical, slash};
}
constexpr head_pattern a_shape(int32_t first, int32_t recent) {
    return {head_pattern::kind::a_shape, first, recent};
}

TEST(minference_table, is_read_as_its_own_code_reads_it) {
    const auto table = parse_minference_table(
        R"([{"0": ["vertical_and_slash", 1000, 6096, 336468.4], "3": ["stream_llm", 100, 800, 0.9],
             "1": ["block_sparse", 1000, 6096, 1]},
            {"2": ["vertical_and_slash", 30, 800, 12]}])",
        k_model);
    ASSERT_EQ(table.error, "");
    ASSERT_EQ(table.value.size(), 2u);
    EXPECT_EQ(table.value[0].heads,
              (std::vector{lines(1000, 6096), lines(1000, 6096), lines(1000, 6096), a_shape(100, 800)}));
    EXPECT_EQ(table.value[1].heads,
              (std::vector{lines(1000, 6096), lines(1000, 6096), lines(30, 800), lines(1000, 6096)}));
    EXPECT_EQ(table.value[1].layer, 1);
}

void expect_error(const std::string & text, const std::string & error) {
    EXPECT_EQ(parse_minference_table(text, k_model).error, error) << text;
}

TEST(minference_table, errors_say_where) {
    expect_error("{}", "found an object, expected an array with an object for each layer");
    expect_error("[{}]", "the table is for 1 layers, the model has 2");
    expect_error("[{}, 7]", "layer 1: found 7, expected an object of heads");
    expect_error(R"([{}, {"4": ["stream_llm", 1, 1, 1]}])", R"(layer 1, head "4": the model's heads are 0 to 3)");
    expect_error(R"([{}, {"01": ["stream_llm", 1, 1, 1]}])", R"(layer 1, head "01": the model's heads are 0 to 3)");
    expect_error(R"([{"2": ["slash", 1, 1, 1]}, {}])",
                 "layer 0, head 2: found type \"slash\", expected \"vertical_and_slash\", \"stream_llm\" or "
                 "\"block_sparse\"");
    expect_error(R"([{"2": ["vertical_and_slash", -1, 1, 1]}, {}])",
                 "layer 0, head 2: found -1, expected a whole number from 0 to 1048576");
    expect_error(R"([{"2": ["vertical_and_slash", 1, 1.5, 1]}, {}])",
                 "layer 0, head 2: found 1.5, expected a whole number from 0 to 1048576");
    expect_error(R"([{"2": ["stream_llm", 1, 0, 1]}, {}])",
                 "layer 0, head 2: a window of 0 keys; a row always keeps its own");
    expect_error(R"([{"2": ["vertical_and_slash", 1, 1]}, {}])",
                 "layer 0, head 2: found an array, expected [type, number, number, score]");
    EXPECT_NE(parse_minference_table("[", k_model).error, "");
    EXPECT_NE(parse_minference_table(R"([{"1": [[[[1]]]]}, {}])", k_model).error, "");
}

TEST(head_patterns, become_rules_of_their_heads) {
    const parsed<plan> made = plan_of_patterns(
        {{0, {lines(30, 800), lines(500, 700), lines(30, 800), lines(30, 800)}}, {1, std::vector(4, lines(30, 800))}},
        k_model);
    ASSERT_EQ(made.error, "");
    const plan & p = made.value;
    ASSERT_EQ(p.dynamic.size(), 3u);  // an entry of a file has one set of heads
    EXPECT_EQ(p.layers[0].head_dynamic, (std::vector<int32_t>{0, 1, 0, 0}));
    EXPECT_EQ(p.layers[0].kind, layer_kind::dense);
    EXPECT_EQ(p.layers[1].dynamic, 2);
    EXPECT_EQ(format_selection(p.dynamic[1].selection), "vertical_slash:vertical=500,slash=700,reference=0");
    const parsed<plan> again = parse_plan(write_plan(p));
    EXPECT_EQ(again.error, "");
    EXPECT_EQ(again.value, p);
}

TEST(head_patterns, a_shapes_are_bands) {
    const parsed<plan> made =
        plan_of_patterns({{1, {a_shape(100, 800), lines(30, 800), a_shape(20, 1000), lines(30, 800)}}}, k_model);
    ASSERT_EQ(made.error, "");
    const plan & p = made.value;
    EXPECT_EQ(p.layers[0], layer_plan{});
    EXPECT_EQ(p.layers[1].kind, layer_kind::triangle);
    EXPECT_EQ(p.layers[1].own, (own_band{100, 1000}));
    EXPECT_EQ(p.layers[1].head_dynamic, (std::vector<int32_t>{-1, 0, -1, 0}));
    EXPECT_EQ(parse_plan(write_plan(p)).value, p);

    const parsed<plan> bands = plan_of_patterns({{0, std::vector(4, a_shape(8, 512))}}, k_model);
    ASSERT_EQ(bands.error, "");
    EXPECT_FALSE(bands.value.layers[0].is_dynamic());
    EXPECT_EQ(parse_plan(write_plan(bands.value)).value, bands.value);
}

TEST(head_patterns, more_rules_than_a_plan_has_are_an_error) {
    const model_shape wide{"llama", 1, 300, 1, 64};
    std::vector<head_pattern> heads;
    for (int32_t head = 0; head < 300; ++head) {
        heads.push_back(lines(30 + head, 800));
    }
    EXPECT_EQ(plan_of_patterns({{0, heads}}, wide).error,
              "heads of layer 0 differ so much that it needs more than 255 rules");
}

}  // namespace
}  // namespace tmx
