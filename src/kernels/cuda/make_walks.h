#pragma once

#include <cuda_runtime_api.h>

#include "kernels/cuda/walks.h"

namespace tmx::cuda {

// Makes the lists and walks of all jobs, and counts their pairs. What it writes depends on bits and jobs alone, and it
// waits for nothing.
cudaError_t make_walks(const walk_jobs & all, cudaStream_t stream);

}  // namespace tmx::cuda
