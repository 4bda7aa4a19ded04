// probe/model_metadata.h -- typed look-up of a GGUF file's keys.
#pragma once

#include <gguf.h>

#include <cstdint>
#include <optional>
#include <string>

namespace tmx {

// Values of any integer or floating type. A key that is missing, or of another kind (an array with a value a layer,
// say), gives nothing.
std::optional<int64_t> metadata_integer(const gguf_context * file, const std::string & key);
std::optional<float> metadata_float(const gguf_context * file, const std::string & key);
std::optional<std::string> metadata_text(const gguf_context * file, const std::string & key);

}  // namespace tmx
