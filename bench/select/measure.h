// measure.h -- one layer's selection by a rule, the attention over what it selects, and dense attention, timed in one
// process.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "layer.h"
#include "trianglemix/selection.h"

namespace tmx::bench {

struct select_options {
    layer_shape shape;
    int64_t n = 16384;
    int64_t rows = 0;  // the prompt's last rows only, as a ubatch of so many; 0: all
    int32_t n_threads = 2;
    int repeats = 3;
    precision arithmetic = precision::exact;
    std::string kernel;  // empty: the best
    std::vector<std::string> rules;
    std::string json_file;
    std::string command;
};

// Prints a table. Returns a process exit code.
int run_select(const select_options & options);

}  // namespace tmx::bench
