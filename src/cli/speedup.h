// cli/speedup.h -- a ratio of two interleaved measurements, with what is known about its noise.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace tmx {

// Said below a table whose times are of one run each.
inline constexpr const char * k_one_run_note =
    "One run of each: what else the machine did meanwhile is in these ratios. --repeat 3 shows how far they vary.";

struct speedup {
    double median = 0;  // of the medians
    double low = 0;     // least and greatest ratio of one repetition
    double high = 0;
    size_t n = 0;  // repetitions

    std::string spread_text() const;  // "1.50..1.58", "(one run)"
};

// Repetition i of both ran one after the other. REQUIRES at least one of each.
speedup speedup_over(const std::vector<double> & reference_seconds, const std::vector<double> & seconds);

}  // namespace tmx
