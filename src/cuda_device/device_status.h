// cuda_device/device_status.h -- what the CUDA runtime says, as a status.
#pragma once

#include <cuda_runtime_api.h>

#include "trianglemix/status.h"

namespace tmx::cuda {

// "doing: what CUDA calls the error". The runtime forgets it, so that nobody after us takes it for theirs.
status device_status(cudaError_t error, const char * doing);

}  // namespace tmx::cuda
