#pragma once

#include "kernels/cuda/launch.h"

namespace tmx::cuda {

// Writes out and lse of the split items. `combines` is device memory.
cudaError_t combine(const kernel_params & params, const combine_item * combines, int32_t n_combines,
                    cudaStream_t stream);

}  // namespace tmx::cuda
