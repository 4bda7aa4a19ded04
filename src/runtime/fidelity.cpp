#include "runtime/fidelity.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace tmx {

std::vector<double> log_softmax(std::span<const float> logits) {
    const double top = *std::max_element(logits.begin(), logits.end());
    double sum = 0;
    for (const float logit : logits) {
        sum += std::exp(static_cast<double>(logit) - top);
    }
    const double log_sum = top + std::log(sum);
    std::vector<double> result(logits.size());
    for (size_t i = 0; i < logits.size(); ++i) {
        result[i] = static_cast<double>(logits[i]) - log_sum;
    }
    return result;
}

int32_t argmax(std::span<const float> logits) {
    return static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

double kl_divergence(std::span<const float> reference, std::span<const float> other) {
    const std::vector<double> p = log_softmax(reference);
    const std::vector<double> q = log_softmax(other);
    double sum = 0;
    for (size_t i = 0; i < p.size(); ++i) {
        // A token that the reference gives no probability (logit -inf) adds nothing, whatever the other says.
        if (std::isfinite(p[i])) {
            sum += std::exp(p[i]) * (p[i] - q[i]);
        }
    }
    return std::max(sum, 0.0);
}

double top_margin(std::span<const float> logits) {
    std::vector<double> p = log_softmax(logits);
    std::partial_sort(p.begin(), p.begin() + 2, p.end(), std::greater<>());
    return std::exp(p[0]) - std::exp(p[1]);
}

fidelity compare_rows(const logit_rows & reference, const logit_rows & other) {
    fidelity result;
    result.n_positions = static_cast<int64_t>(reference.size());
    result.n_following = result.n_positions - 1;
    double following = 0;
    std::vector<double> kls(reference.size());
#pragma omp parallel for schedule(dynamic)
    for (size_t i = 0; i < reference.size(); ++i) {
        kls[i] = kl_divergence(reference[i], other[i]);
    }
    for (size_t i = 0; i < reference.size(); ++i) {
        const double kl = kls[i];
        result.worst_kl = std::max(result.worst_kl, kl);
        if (i == 0) {
            result.first_kl = kl;
        } else {
            following += kl;
        }
        result.n_same_top += argmax(reference[i]) == argmax(other[i]) ? 1 : 0;
    }
    if (result.n_following > 0) {
        result.following_kl = following / static_cast<double>(result.n_following);
    }
    return result;
}

double quantile(std::vector<double> sample, double q) {
    if (sample.empty()) {
        return 0;
    }
    std::sort(sample.begin(), sample.end());
    const double position = q * static_cast<double>(sample.size() - 1);
    const auto below = static_cast<size_t>(position);
    const size_t above = std::min(below + 1, sample.size() - 1);
    return sample[below] + (position - static_cast<double>(below)) * (sample[above] - sample[below]);
}

}  // namespace tmx
