// eval/score/rouge_l.h -- ROUGE-L as Python's package `rouge` computes it, which is what LongBench prints.
#pragma once

#include <cstddef>
#include <string_view>

namespace tmx {

struct rouge_result {
    double f = 0;
    // Steps of the longest walk back through one table. The package walks recursively: beyond about 980 steps Python
    // gives up, and LongBench then counts 0.
    size_t longest_walk = 0;
};

// No lower case, no stemming. Both texts are cut at every "."; the words of one longest common subsequence of each pair
// of pieces go into one set U. With m and n the numbers of different words of answer and prediction, R = |U| / m,
// P = |U| / n, F = 2 P R / (P + R + 1e-8); 0 if one of them has no pieces.
rouge_result rouge_l(std::string_view prediction, std::string_view answer);

}  // namespace tmx
