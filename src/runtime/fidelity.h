// runtime/fidelity.h -- how far one arm's next-token distribution is from another's.
//
// NUMERICS Inputs are raw logits as the model gave them (f32). Every sum is in double, after the maximum is subtracted.
// THREADS  Pure functions of their arguments. compare_rows() spreads positions over OpenMP's threads; the same bits for
//          any number of them.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace tmx {

// log(softmax(logits)). REQUIRES logits not empty and at least one of them finite.
std::vector<double> log_softmax(std::span<const float> logits);

// Index of the largest logit; the lowest index of equal ones.
int32_t argmax(std::span<const float> logits);

// KL(reference || other) in nats over the whole vocabulary; >= 0 (rounding below zero is cut off).
// REQUIRES equal sizes.
double kl_divergence(std::span<const float> reference, std::span<const float> other);

// p1 - p2: how sure the distribution is of its first choice. REQUIRES at least two logits.
double top_margin(std::span<const float> logits);

// Comparison of two arms over the same positions: [0] is the prompt's last row (the first token), then come the rows of
// a forced continuation.
struct fidelity {
    double first_kl = 0;      // nats, position 0
    double following_kl = 0;  // mean over positions 1..; 0 if there are none
    double worst_kl = 0;      // largest of all positions
    int64_t n_following = 0;  // positions behind the first
    int64_t n_same_top = 0;   // positions, the first included, with equal argmax
    int64_t n_positions = 0;

    // Over all positions, the first included; 0 if there are none.
    double mean_kl() const {
        return n_positions > 0
                   ? (first_kl + following_kl * static_cast<double>(n_following)) / static_cast<double>(n_positions)
                   : 0.0;
    }
    double same_top_share() const {
        return n_positions > 0 ? static_cast<double>(n_same_top) / static_cast<double>(n_positions) : 1.0;
    }
};

// Logits of consecutive positions: [n_positions][n_vocab].
using logit_rows = std::vector<std::vector<float>>;

// REQUIRES the same number of rows (at least one) and the same vocabulary.
fidelity compare_rows(const logit_rows & reference, const logit_rows & other);

// Quantile q in [0, 1] with linear interpolation between order statistics; 0 for an empty sample.
double quantile(std::vector<double> sample, double q);
inline double median(std::vector<double> sample) {
    return quantile(std::move(sample), 0.5);
}

}  // namespace tmx
