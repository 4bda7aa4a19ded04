// Writes a tiny model as a GGUF file that llama.cpp's format knows.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "reference_model.h"

namespace tmx::test {

struct gguf_changes {
    std::string without;                       // a tensor to leave out
    std::string extra_tensor;                  // one to add
    std::string architecture;                  // instead of the model's
    double yarn_factor = 0;                    // > 0: YaRN rotary scaling, which the reference model does not know
    std::map<std::string, int> integers = {};  // further keys of the architecture
    std::vector<bool> window_pattern = {};     // attention.sliding_window_pattern as a list; empty: none
    std::string quantised_tensor = {};         // one to add, of type Q8_0
    int n_parts = 0;                           // > 0: the file says it is one of so many
};

// In the test's scratch folder; returns the path.
std::string write_tiny_gguf(const tiny_model & model, const std::string & name, const gguf_changes & changes = {});

}  // namespace tmx::test
