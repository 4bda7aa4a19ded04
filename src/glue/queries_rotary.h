// What an attention node's graph tells of the RoPE that its queries went through.
#pragma once

#include "backend/layer_rules.h"
#include "glue/abi.h"

namespace tmx {

// REQUIRES an attention node, see fattn_view.h.
layer_rotary rotary_of_queries(const ggml_tensor * attention);

}  // namespace tmx
