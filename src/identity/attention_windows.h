// identity/attention_windows.h -- which layers of a GGUF file see the latest tokens only.
//
// Such a layer computes the pairs of its window whatever a plan says: it has no far pairs to skip, and is never a
// triangle layer. llama.cpp's public interface tells that there are such layers (llama_model_n_swa), and not which.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "identity/gguf_header.h"

namespace tmx {

// [n_layer]: how many tokens up to its own a row sees in each layer, 0: all of them. Empty where no layer has a window,
// or where the file cannot be read. Where tokens are cut into chunks that do not see each other (llama4), a chunk's
// length, which is the most that a row sees.
std::vector<int32_t> attention_windows(const gguf_header & file);
std::vector<int32_t> attention_windows(const std::string & path);

}  // namespace tmx
