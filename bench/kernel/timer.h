// timer.h -- clocks and order statistics of the benchmarks.
#pragma once

#include <time.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

namespace tmx::bench {

inline double seconds_of(clockid_t clock) {
    timespec now{};
    clock_gettime(clock, &now);
    return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

inline double wall_seconds() {
    return seconds_of(CLOCK_MONOTONIC);
}

// CPU time of the calling thread: does not count the time other processes took, so it compares single-threaded code on
// a shared machine. It still sees their cache and clock-speed effects.
inline double thread_seconds() {
    return seconds_of(CLOCK_THREAD_CPUTIME_ID);
}

// Quantile by linear interpolation; q in [0, 1]. REQUIRES samples not empty.
inline double quantile(std::vector<double> samples, double q) {
    std::sort(samples.begin(), samples.end());
    const double place = q * static_cast<double>(samples.size() - 1);
    const auto below = static_cast<size_t>(std::floor(place));
    const size_t above = std::min(below + 1, samples.size() - 1);
    return samples[below] + (place - static_cast<double>(below)) * (samples[above] - samples[below]);
}

// Median, because one disturbed repeat must not move the figure.
inline double median(const std::vector<double> & samples) {
    return quantile(samples, 0.5);
}

}  // namespace tmx::bench
