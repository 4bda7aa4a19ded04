// The heads of a call select by several rules, on a GPU.
#pragma once

#include <memory>

#include "trianglemix/selection.h"

namespace tmx {

// REQUIRES heads that differ, and good rules whose methods have a CUDA form. Null: more heads than are merged.
std::shared_ptr<const cuda_selector> make_heads_selector(const selection_request & request);

}  // namespace tmx
