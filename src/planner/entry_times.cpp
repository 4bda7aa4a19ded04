#include "planner/entry_times.h"

#include "runtime/fidelity.h"

namespace tmx {
namespace {

double saved_in_all(const std::vector<time_pair> & prompts, bool by_statistics) {
    std::vector<double> saved;
    saved.reserve(prompts.size());
    for (const time_pair & p : prompts) {
        saved.push_back(by_statistics ? sum_of(p.dense).seconds - sum_of(p.sparse).seconds
                                      : p.dense_seconds - p.sparse_seconds);
    }
    return median(std::move(saved));
}

// [layers], over all prompts: of the sparse computation, or the dense one.
std::vector<layer_cost> sums_of(const std::vector<time_pair> & prompts, const std::vector<int32_t> & layers,
                                costs_of_pair which) {
    std::vector<layer_cost> sums(layers.size());
    for (const time_pair & p : prompts) {
        for (size_t i = 0; i < layers.size(); ++i) {
            const layer_cost & cost = (p.*which)[static_cast<size_t>(layers[i])];
            sums[i].kept += cost.kept;
            sums[i].skipped += cost.skipped;
        }
    }
    return sums;
}

}  // namespace

std::vector<double> saved_by_layer(const std::vector<time_pair> & prompts, const std::vector<int32_t> & layers,
                                   bool by_statistics) {
    const double in_all = saved_in_all(prompts, by_statistics);
    std::vector<layer_cost> sums = sums_of(prompts, layers, &time_pair::sparse);
    const std::vector<layer_cost> before = sums_of(prompts, layers, &time_pair::dense);
    for (size_t i = 0; i < sums.size(); ++i) {
        sums[i].skipped -= before[i].skipped;
    }
    const double skipped = sum_of(sums).skipped;
    std::vector<double> saved;
    saved.reserve(sums.size());
    for (const layer_cost & sum : sums) {
        saved.push_back(in_all * (skipped > 0 ? sum.skipped / skipped : 1 / static_cast<double>(layers.size())));
    }
    return saved;
}

std::vector<double> kept_by_layer(const std::vector<time_pair> & prompts, const std::vector<int32_t> & layers,
                                  costs_of_pair which) {
    std::vector<double> kept;
    for (const layer_cost & sum : sums_of(prompts, layers, which)) {
        const double all = sum.kept + sum.skipped;
        kept.push_back(all > 0 ? sum.kept / all : 1);
    }
    return kept;
}

}  // namespace tmx
