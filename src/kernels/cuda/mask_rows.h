#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "trianglemix/cuda_mask_rows.h"

namespace tmx::cuda {

// As cuda_compare_mask_rows(); `cells` and `found` are device memory. Enqueues, and waits for nothing.
cudaError_t compare_mask_rows(const device_mask & mask, const int32_t * cells, uint8_t * found, cudaStream_t stream);

}  // namespace tmx::cuda
