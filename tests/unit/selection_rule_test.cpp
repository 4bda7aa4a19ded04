// Which rules are good, and what is known of methods.
#include "trianglemix/selection_rule.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <utility>
#include <vector>

namespace tmx {
namespace {

selection_rule stride_rule(double stride) {
    selection_rule rule = usual_rule(*find_selection_method("stride"));
    rule.values[0] = stride;
    return rule;
}

TEST(selection_rule, the_usual_one_of_every_method_is_good) {
    for (int32_t method = 0; method < selection_methods(); ++method) {
        EXPECT_TRUE(check_rule(usual_rule(method)).ok());
        EXPECT_EQ(method, find_selection_method(selection_method_of(method).name));
    }
}

TEST(selection_rule, both_bounds_are_good) {
    EXPECT_TRUE(check_rule(stride_rule(1)).ok());
    EXPECT_TRUE(check_rule(stride_rule(1 << 20)).ok());
}

TEST(selection_rule, others_are_refused_with_what_is_allowed) {
    const std::vector<std::pair<double, std::string>> cases = {{0, "0"},
                                                               {-1, "-1"},
                                                               {2.5, "2.5"},
                                                               {std::ldexp(1, 21), "2.09715e+06"},
                                                               {std::numeric_limits<double>::infinity(), "inf"}};
    for (const auto & [stride, text] : cases) {
        const status result = check_rule(stride_rule(stride));
        EXPECT_EQ(status_code::invalid_argument, result.code());
        EXPECT_EQ("stride is " + text + ", must be a whole number from 1 to 1.04858e+06",
                  std::string(result.message()));
    }
    selection_rule grid = usual_rule(*find_selection_method("xattention"));
    grid.values[0] = 24;
    EXPECT_EQ("stride is 24, must be a power of two from 4 to 64", std::string(check_rule(grid).message()));
    EXPECT_FALSE(check_rule(stride_rule(std::numeric_limits<double>::quiet_NaN())).ok());
    EXPECT_FALSE(check_rule(selection_rule{}).ok());
    for (const int32_t method : {-1, selection_methods(), std::numeric_limits<int32_t>::max()}) {
        EXPECT_EQ(status_code::invalid_argument, check_rule({method, {}}).code()) << method;
    }
}

}  // namespace
}  // namespace tmx
