// quick.h -- the tuning loop: every kernel and precision, one thread, CPU time, a second or two in all.
#pragma once

#include <cstdint>
#include <string>

#include "layer.h"

namespace tmx::bench {

struct quick_options {
    layer_shape shape;
    int64_t n = 2048;
    int repeats = 5;
    std::string kernel;  // empty: all that this CPU runs
};

// Prints one line a kernel, precision and mode. Returns a process exit code.
int run_quick(const quick_options & options);

}  // namespace tmx::bench
