#include "neighbours.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <string>
#include <thread>

#include "timer.h"

namespace tmx::bench {

neighbours::reading neighbours::now() {
    reading result;
    result.wall = wall_seconds();
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    const auto seconds = [](const timeval & t) {
        return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
    };
    result.own = seconds(usage.ru_utime) + seconds(usage.ru_stime);

    std::ifstream stat("/proc/stat");
    std::string label;
    double ticks[8] = {};  // user, nice, system, idle, iowait, irq, softirq, steal
    stat >> label;
    for (double & tick : ticks) {
        stat >> tick;
    }
    if (!stat) {
        result.all = result.own;
        return result;
    }
    const double busy = ticks[0] + ticks[1] + ticks[2] + ticks[5] + ticks[6] + ticks[7];
    result.all = busy / static_cast<double>(sysconf(_SC_CLK_TCK));
    return result;
}

void neighbours::begin() {
    begin_ = now();
}

void neighbours::end() {
    const reading end = now();
    wall_ += end.wall - begin_.wall;
    others_ += (end.all - begin_.all) - (end.own - begin_.own);
}

double neighbours::share() const {
    const double capacity = wall_ * static_cast<double>(std::max(1u, std::thread::hardware_concurrency()));
    return capacity > 0 ? std::max(0.0, others_ / capacity) : 0;
}

}  // namespace tmx::bench
