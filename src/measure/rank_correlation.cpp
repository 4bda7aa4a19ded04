#include "measure/rank_correlation.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "measure/random_source.h"
#include "runtime/fidelity.h"

namespace tmx {
namespace {

constexpr int k_resamples = 2000;

}  // namespace

std::vector<double> ranks_of(std::span<const double> values) {
    std::vector<size_t> order(values.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return values[a] < values[b]; });
    std::vector<double> ranks(values.size());
    for (size_t begin = 0; begin < order.size();) {
        size_t end = begin + 1;
        while (end < order.size() && values[order[end]] == values[order[begin]]) {
            ++end;
        }
        for (size_t i = begin; i < end; ++i) {
            ranks[order[i]] = (static_cast<double>(begin + end) + 1) / 2;
        }
        begin = end;
    }
    return ranks;
}

double spearman(std::span<const double> a, std::span<const double> b) {
    const std::vector<double> x = ranks_of(a);
    const std::vector<double> y = ranks_of(b);
    const double middle = (static_cast<double>(x.size()) + 1) / 2;
    double xy = 0;
    double xx = 0;
    double yy = 0;
    for (size_t i = 0; i < x.size(); ++i) {
        xy += (x[i] - middle) * (y[i] - middle);
        xx += (x[i] - middle) * (x[i] - middle);
        yy += (y[i] - middle) * (y[i] - middle);
    }
    return xx > 0 && yy > 0 ? xy / std::sqrt(xx * yy) : 0;
}

interval bootstrap(int64_t n_prompts, const std::function<double(std::span<const size_t>)> & statistic) {
    std::vector<size_t> prompts(static_cast<size_t>(n_prompts));
    std::iota(prompts.begin(), prompts.end(), size_t{0});
    interval result;
    result.value = statistic(prompts);
    random_source random(1);
    std::vector<double> values;
    for (int i = 0; i < k_resamples; ++i) {
        for (size_t & prompt : prompts) {
            prompt = random.below(static_cast<uint64_t>(n_prompts));
        }
        values.push_back(statistic(prompts));
    }
    result.low = quantile(values, 0.025);
    result.high = quantile(values, 0.975);
    return result;
}

}  // namespace tmx
