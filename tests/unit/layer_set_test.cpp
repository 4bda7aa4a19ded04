#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "trianglemix/plan.h"

namespace tmx {
namespace {

struct good_case {
    const char * text;
    std::vector<int32_t> layers;
};

TEST(layer_set, reads_what_users_type) {
    const std::vector<good_case> cases = {
        {"none", {}},
        {" none ", {}},
        {"all", {0, 1, 2, 3, 4, 5, 6, 7, 8, 9}},
        {"0", {0}},
        {"9", {9}},
        {"3-3", {3}},
        {"3-5", {3, 4, 5}},
        {"0,4,7-9", {0, 4, 7, 8, 9}},
        {"7-9,0,4", {0, 4, 7, 8, 9}},
        {" 1 - 2 , 5 ", {1, 2, 5}},
        {"007", {7}},
    };
    for (const good_case & each : cases) {
        const parsed<std::vector<int32_t>> set = parse_layer_set(each.text, 10);
        EXPECT_EQ(set.error, "") << each.text;
        EXPECT_EQ(set.value, each.layers) << each.text;
    }
}

TEST(layer_set, says_what_is_wrong) {
    const std::string how = "; write numbers and ranges as \"0,4,7-9\", or \"all\", or \"none\"";
    const std::vector<std::pair<std::string, std::string>> cases = {
        {"", "expected a layer number at character 1" + how},
        {" ", "expected a layer number at character 2" + how},
        {"x", "expected a layer number at character 1" + how},
        {"-3", "expected a layer number at character 1" + how},
        {"1,,2", "expected a layer number at character 3" + how},
        {"1,2,", "expected a layer number at character 5" + how},
        {"1,all", "expected a layer number at character 3" + how},
        {"All", "expected a layer number at character 1" + how},
        {"1 2", "unexpected text at character 3" + how},
        {"1;2", "unexpected text at character 2" + how},
        {"1-2-3", "unexpected text at character 4" + how},
        {"all,1", "expected a layer number at character 1" + how},
        {"5-", "expected the range's last layer at character 3, as in \"16-31\""},
        {"5-x", "expected the range's last layer at character 3, as in \"16-31\""},
        {"5-3", "range 5-3 descends; write the smaller number first"},
        {"3,3", "layer 3 appears twice"},
        {"1-4,2-6", "layer 2 appears twice"},
        {"10", "layer 10 does not exist; layers are 0 to 9"},
        {"8-10", "layer 10 does not exist; layers are 0 to 9"},
        {"99999999999999999999", "layer 1000000 or above does not exist; layers are 0 to 9"},
    };
    for (const auto & [text, reason] : cases) {
        const parsed<std::vector<int32_t>> set = parse_layer_set(text, 10);
        EXPECT_EQ(set.error, "layer set \"" + text + "\": " + reason);
        EXPECT_TRUE(set.value.empty()) << text;
    }
}

TEST(layer_set, of_an_unknown_model_takes_numbers_but_not_all) {
    EXPECT_EQ(parse_layer_set("0,1023", -1).value, (std::vector<int32_t>{0, 1023}));
    EXPECT_EQ(parse_layer_set("1024", -1).error, "layer set \"1024\": layer 1024 does not exist; layers are 0 to 1023");
    EXPECT_EQ(parse_layer_set("all", -1).error,
              "layer set \"all\": \"all\" needs the number of layers, which is not known here; give numbers, as "
              "\"16-31\"");
    EXPECT_TRUE(parse_layer_set("none", -1).ok());
}

TEST(layer_set, of_odd_models) {
    EXPECT_TRUE(parse_layer_set("none", 0).ok());
    EXPECT_TRUE(parse_layer_set("all", 0).value.empty());
    EXPECT_EQ(parse_layer_set("0", 0).error, "layer set \"0\": there are no layers; only \"none\" fits");
    EXPECT_EQ(parse_layer_set("0", 1025).error, "a model of 1025 layers is above the limit of 1024");
    EXPECT_EQ(parse_layer_set("all", std::numeric_limits<int32_t>::max()).error,
              "a model of 2147483647 layers is above the limit of 1024");
}

TEST(layer_set, shows_foreign_text_safely) {
    const parsed<std::vector<int32_t>> set = parse_layer_set("\x1b[31m\n\xff" + std::string(1000, 'z'), 10);
    EXPECT_NE(set.error.find("layer set \"\\x1b[31m\\x0a\\xff"), std::string::npos) << set.error;
    EXPECT_LT(set.error.size(), 300u);
}

TEST(layer_set, formats_the_shortest_text) {
    EXPECT_EQ(format_layer_set({}), "none");
    EXPECT_EQ(format_layer_set({5}), "5");
    EXPECT_EQ(format_layer_set({5, 6}), "5-6");
    EXPECT_EQ(format_layer_set({0, 4, 7, 8, 9}), "0,4,7-9");
    EXPECT_EQ(format_layer_set({0, 1, 3, 5, 6, 7, 12}), "0-1,3,5-7,12");
}

TEST(layer_set, every_small_set_comes_back) {
    constexpr int32_t n_layer = 10;
    for (uint32_t bits = 0; bits < 1u << n_layer; ++bits) {
        std::vector<int32_t> layers;
        for (int32_t layer = 0; layer < n_layer; ++layer) {
            if ((bits >> layer & 1u) != 0) {
                layers.push_back(layer);
            }
        }
        const std::string text = format_layer_set(layers);
        ASSERT_EQ(parse_layer_set(text, n_layer).value, layers) << text;
        ASSERT_EQ(parse_layer_set(text, -1).value, layers) << text;
    }
}

}  // namespace
}  // namespace tmx
