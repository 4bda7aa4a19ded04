#include "select/cpu/by_mass.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace tmx {

std::vector<int32_t> by_falling_mass(std::span<const float> masses, bool first_forced) {
    std::vector<int32_t> order(masses.size());
    std::iota(order.begin(), order.end(), 0);
    const auto rank = [&](int32_t number) {
        const float mass = masses[static_cast<size_t>(number)];
        return std::isnan(mass) || (first_forced && number == 0) ? std::numeric_limits<float>::infinity() : mass;
    };
    std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return rank(a) > rank(b); });
    return order;
}

int64_t number_that_reaches(std::span<const float> masses, std::span<const int32_t> order, double share) {
    const double wanted = share * std::accumulate(masses.begin(), masses.end(), 0.0);
    double sum = 0;
    for (size_t i = 0; i < order.size() && share < 1; ++i) {
        sum += static_cast<double>(masses[static_cast<size_t>(order[i])]);
        if (sum >= wanted) {
            return static_cast<int64_t>(i) + 1;
        }
    }
    return static_cast<int64_t>(order.size());
}

}  // namespace tmx
