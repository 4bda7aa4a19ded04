// Which nodes of a graph the CPU's kernels take.
#pragma once

#include "glue/abi.h"

namespace tmx {

// Whether the settings of the process let this node be computed by cpu_nodes; what is declined is counted with its
// reason. THREADS Any.
bool cpu_claims(const ggml_tensor * op);

}  // namespace tmx
