// measure/rank_correlation.h -- how well one order of layers predicts another.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace tmx {

// Ranks from 1; equal values share the mean of their ranks.
std::vector<double> ranks_of(std::span<const double> values);

// Spearman's: the correlation of ranks, in [-1, 1]; 0 if one side has no order. REQUIRES equal sizes.
double spearman(std::span<const double> a, std::span<const double> b);

struct interval {
    double value = 0;  // of the whole sample
    double low = 0;    // 2.5% and 97.5% of the resamples
    double high = 0;
};

// Percentile bootstrap over prompts: `statistic` is given the numbers of the prompts of a resample (with repetitions).
// Seeded, so the same on every run. REQUIRES n_prompts >= 1.
interval bootstrap(int64_t n_prompts, const std::function<double(std::span<const size_t> prompts)> & statistic);

}  // namespace tmx
