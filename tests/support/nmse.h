// nmse.h -- normalised mean squared error: sum of squared differences over sum of squares of the reference. The measure
// of stock test-backend-ops.
#pragma once

#include <cstddef>

namespace tmx::test {

// Of two containers of as many floats or doubles.
template <typename Values, typename Reference>
double nmse(const Values & values, const Reference & reference) {
    double error = 0;
    double size = 0;
    for (size_t i = 0; i < reference.size(); ++i) {
        const auto expected = static_cast<double>(reference[i]);
        const double difference = static_cast<double>(values[i]) - expected;
        error += difference * difference;
        size += expected * expected;
    }
    return error / size;
}

}  // namespace tmx::test
