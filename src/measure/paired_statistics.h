// measure/paired_statistics.h -- what paired scores of two arms say about their difference.
//
// NUMERICS Resamples are seeded: the same input gives the same output everywhere.
// THREADS  Pure functions of their arguments.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace tmx {

// One example's difference, other - reference.
struct paired_difference {
    double d = 0;
    std::string stratum;  // the mean is that of the strata's means (a task of a suite)
    std::string cluster;  // examples that stand or fall together; "": by itself
};

// The mean of the strata's means, and how sure it is: clusters are drawn within their stratum, with replacement.
struct mean_difference {
    double mean = 0;
    int64_t n = 0;
    double low = 0, high = 0;          // 95%, percentile
    double bca_low = 0, bca_high = 0;  // 95%, corrected for bias and skew (Efron 1987, "Better bootstrap confidence
                                       // intervals"); equal to the percentiles where nothing varies
    double one_sided_low = 0;          // 95% each: the true mean is above, and below
    double one_sided_high = 0;
};
constexpr int k_resamples_of_pairs = 10'000;
mean_difference bootstrap_pairs(std::span<const paired_difference> pairs, int n_resamples = k_resamples_of_pairs);

// Two-sided p of "signs of the differences are a coin's": exact where at most 20 are not zero, else by 10,000 draws.
double sign_flip_p(std::span<const double> differences);

// Exact McNemar test: of b + c examples on which two arms disagree, b went one way.
double mcnemar_p(int64_t b, int64_t c);

// Holm's step-down adjustment, in the order of the input.
std::vector<double> holm_adjusted(std::span<const double> p);

// Upper 95% bound of a share of which nothing was seen in n tries: 1 - 0.05^(1/n), about 3/n.
double bound_of_nothing_seen(int64_t n);

// Whether "not worse by more than `margin`" is shown.
enum class verdict : uint8_t { pass, fail, inconclusive };
const char * name_of(verdict v);
verdict not_worse(const mean_difference & difference, double margin);  // REQUIRES margin >= 0

}  // namespace tmx
