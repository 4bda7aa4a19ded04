#include "cli/speedup.h"

#include <fmt/core.h>

#include <algorithm>

#include "runtime/fidelity.h"

namespace tmx {

std::string speedup::spread_text() const {
    return n == 1 ? "(one run)" : fmt::format("{:.2f}..{:.2f}", low, high);
}

speedup speedup_over(const std::vector<double> & reference_seconds, const std::vector<double> & seconds) {
    speedup s;
    s.median = median(reference_seconds) / median(seconds);
    s.n = std::min(reference_seconds.size(), seconds.size());
    for (size_t i = 0; i < s.n; ++i) {
        const double ratio = reference_seconds[i] / seconds[i];
        s.low = i == 0 ? ratio : std::min(s.low, ratio);
        s.high = i == 0 ? ratio : std::max(s.high, ratio);
    }
    return s;
}

}  // namespace tmx
