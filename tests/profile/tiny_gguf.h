// Writes a tiny model as a GGUF file that llama.cpp's format knows.
#pragma once

#include <string>

#include "reference_model.h"

namespace tmx::test {

// In the test's scratch folder; the path. without: names of tensors to leave out; extra_key: an integer key to add.
struct gguf_changes {
    std::string without;
    std::string extra_tensor;
    std::string architecture;  // instead of the model's
};
std::string write_tiny_gguf(const tiny_model & model, const std::string & name, const gguf_changes & changes = {});

}  // namespace tmx::test
