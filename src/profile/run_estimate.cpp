#include "profile/run_estimate.h"

#include <algorithm>

namespace tmx {
namespace {

// Of each kind, how much longer it takes than a prefill of the same prompt, until it was seen: measured on the embedded
// model with 8-bit weights on two cores (gradient: 6.9 ms a unit of weight, prefill: 0.85 ms). The probe computes in
// f32, and a reverse pass makes the forward pass's products once more and two others a product.
constexpr std::array<double, 3> k_prefills = {1, 2, 8};

}  // namespace

void run_estimate::begin(work_kind kind, double expected_weight) {
    double & ahead = ahead_[index(kind)];
    ahead = std::max(ahead - expected_weight, 0.0);
    for (speed & each : seen_) {
        each.weight += each.running_weight;
        each.seconds += each.running_seconds;
        each.running_weight = each.running_seconds = 0;
    }
}

void run_estimate::learn(work_kind kind, double weight, double seconds) {
    seen_[index(kind)].running_weight = weight;
    seen_[index(kind)].running_seconds = seconds;
}

double run_estimate::expected() const {
    double sum = 0;
    for (size_t kind = 0; kind < ahead_.size(); ++kind) {
        sum += ahead_[kind] * k_prefills[kind];
    }
    return sum;
}

double run_estimate::seconds_a_weight(work_kind kind) const {
    const auto of = [&](size_t i) {
        const speed & s = seen_[i];
        const double weight = s.weight + s.running_weight;
        return weight > 0 ? (s.seconds + s.running_seconds) / weight : -1;
    };
    if (const double own = of(index(kind)); own >= 0) {
        return own;
    }
    for (size_t other = 0; other < seen_.size(); ++other) {
        if (const double seconds = of(other); seconds >= 0) {
            return seconds * k_prefills[index(kind)] / k_prefills[other];
        }
    }
    return -1;
}

double run_estimate::seconds_left(work_kind running, double weight_left) const {
    double sum = 0;
    for (const work_kind kind : {work_kind::prefill, work_kind::probe, work_kind::gradient}) {
        const double weight = ahead_[index(kind)] + (kind == running ? weight_left : 0);
        const double seconds = seconds_a_weight(kind);
        if (weight > 0 && seconds < 0) {
            return -1;
        }
        sum += weight > 0 ? weight * seconds : 0;
    }
    return sum;
}

void run_clock::announce(const std::string & what, double timed_weight, double seconds) {
    estimate_.learn(work_kind::prefill, timed_weight, seconds);
    run_progress start;
    start.item = what;
    start.seconds_left = estimate_.seconds_left(work_kind::prefill, 0);
    start.item_ended = true;
    if (told_) {
        told_(start);
    }
}

void run_clock::begin(work_kind kind, double expected_weight) {
    running_ = kind;
    estimate_.begin(kind, expected_weight);
}

void run_clock::show(run_progress p) {
    // A speed from less than a thousandth of a stage's work is a guess.
    if (p.weight_done > 0.001 * (p.weight_done + p.weight_left)) {
        estimate_.learn(running_, p.weight_done, p.seconds);
    }
    p.seconds_left = estimate_.seconds_left(running_, p.weight_left);
    if (told_) {
        told_(p);
    }
}

}  // namespace tmx
