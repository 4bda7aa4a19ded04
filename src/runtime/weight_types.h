// runtime/weight_types.h -- how a GGUF file holds its weights, as far as it matters to what is measured with them.
#pragma once

#include <string>

namespace tmx {

// Whether a product with some weight may round activations to 8 bits, as ggml does for quantised ones. False only
// where the file says of each tensor that it is F32, F16 or BF16; a file of several parts, or one that cannot be read,
// does not say so.
bool any_quantised(const std::string & path);

}  // namespace tmx
