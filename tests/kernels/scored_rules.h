// scored_rules.h -- rules of the methods that score blocks, by name and values.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "scored_layer.h"
#include "trianglemix/selection.h"

namespace tmx::test {

struct asked {
    selection_rule rule;
    selection_options options;
};

inline asked rule_of(const char * method, const std::vector<double> & values) {
    asked a{usual_rule(*find_selection_method(method)), {{rotary_pairs::neighbours, 64}, precision::exact, nullptr}};
    std::copy(values.begin(), values.end(), a.rule.values.begin());
    return a;
}

inline block_bitmap bits_of(const scored_layer & layer, const asked & a, int32_t n_threads) {
    block_bitmap bits({layer.args.n_head, {layer.shape.rank_begin, layer.shape.rank_end()}});
    const status result = select_blocks(a.rule, layer.args, layer.segment, n_threads, bits, a.options);
    EXPECT_TRUE(result.ok()) << result.message();
    return bits;
}

}  // namespace tmx::test
