// The running model's shape.
#pragma once

#include "glue/abi.h"
#include "trianglemix/plan.h"

namespace tmx {

// As far as the graph shows it: layers from weight and cache names (0 where it may be a part of the model only), heads
// and dimension from the attention nodes (0 where they differ between layers).
model_shape shape_of_graph(const ggml_cgraph * graph);

}  // namespace tmx
