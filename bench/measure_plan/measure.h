// bench/measure_plan/measure.h -- the stages of tmx_measure_plan.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "trianglemix/geometry.h"

namespace tmx {

struct measure_options {
    std::string model = ".deps/models/SmolLM2-135M-Instruct-Q8_0.gguf";
    std::string f16_model;
    std::string stage;
    std::string out;
    std::vector<std::string> from;
    std::vector<int64_t> lengths = {4096, 7500};
    int64_t samples = 4;
    uint64_t seed = 1;
    int64_t n_following = 16;
    std::string order_by = "first";
    std::vector<int64_t> sizes;
    std::vector<std::string> sets;
    std::string precision = "exact";
    int32_t threads = 0;
    int32_t n_ubatch = 2048;
    triangle_shape shape;
    std::string shard = "0/1";
    std::string text_folder = "/usr/share/common-licenses";
    std::vector<std::string> choose_files = {"GPL-2", "GPL-3", "LGPL-2.1"};
    std::vector<std::string> check_files = {"Apache-2.0", "MPL-1.1", "MPL-2.0", "GFDL-1.2", "Artistic", "CC0-1.0"};
    bool verbose = false;
    std::string command;
    const std::atomic<bool> * stop = nullptr;
};

// Runs one stage and prints its table on stdout. ERRORS failure, interrupted.
void measure(const measure_options & options);

}  // namespace tmx
