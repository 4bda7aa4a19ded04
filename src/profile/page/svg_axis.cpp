#include "profile/page/svg_axis.h"

#include <algorithm>
#include <cmath>

namespace tmx {
namespace {

constexpr int k_most_ticks = 7;

}  // namespace

svg_axis::svg_axis(double low, double high, const axis_settings & settings) : settings_(settings) {
    if (settings_.log) {
        low_ = std::floor(std::log10(low));
        high_ = std::max(std::ceil(std::log10(high)), low_ + 1);
        place_decades();
    } else {
        place_steps(low, high);
    }
}

// Few decades are divided further.
void svg_axis::place_decades() {
    const double n_decades = high_ - low_;
    const double step = std::max(1.0, std::ceil(n_decades / k_most_ticks));
    for (double decade = low_; decade <= high_ + 1e-9; decade += step) {
        const double power = std::pow(10.0, decade);
        ticks_.push_back(power);
        if (n_decades <= 2 && decade < high_) {
            ticks_.push_back(2 * power);
            ticks_.push_back(5 * power);
        }
    }
}

void svg_axis::place_steps(double low, double high) {
    const double span = high > low ? high - low : 1;
    const double rough = span / (k_most_ticks - 1);
    const double power = std::pow(10.0, std::floor(std::log10(rough)));
    const double ratio = rough / power;
    double step = power * (ratio <= 1 ? 1 : ratio <= 2 ? 2 : ratio <= 5 ? 5 : 10);
    step = settings_.whole ? std::max(step, 1.0) : step;
    low_ = std::floor(low / step) * step;
    high_ = std::ceil((low + span) / step) * step;
    for (double tick = low_; tick <= high_ + step / 2; tick += step) {
        ticks_.push_back(std::abs(tick) < step / 1e6 ? 0 : tick);
    }
}

double svg_axis::pixel(double value) const {
    double place = value;
    if (settings_.log) {
        place = value > 0 ? std::max(std::log10(value), low_) : low_;
    }
    return settings_.pixel_low + (place - low_) / (high_ - low_) * (settings_.pixel_high - settings_.pixel_low);
}

}  // namespace tmx
