// race.h -- the measured comparison: stock and all our forms, interleaved in one process.
#pragma once

#include <cstdint>
#include <string>

#include "layer.h"

namespace tmx::bench {

struct race_options {
    layer_shape shape;
    int64_t n = 16384;
    int n_threads = 2;
    int repeats = 5;
    int stock_repeats = 1;     // 0: no stock run, no ratios
    int64_t stock_ubatch = 0;  // rows of one stock graph; 0: the whole prompt
    bool scaling = false;      // triangle at n and 2n, nothing else
    std::string kernel;        // ours; empty: the best
    std::string ggml_folder;
    std::string json_file;  // lines are appended; empty: none
    std::string command;    // as typed, for these lines
};

// Prints progress to stderr and a table to stdout. Returns a process exit code.
int run_race(const race_options & options);

}  // namespace tmx::bench
