#include "cuda_device/device_status.h"

namespace tmx::cuda {

status device_status(cudaError_t error, const char * doing) {
    static_cast<void>(cudaGetLastError());
    const status_code code =
        error == cudaErrorMemoryAllocation ? status_code::out_of_memory : status_code::device_error;
    return status::error(code, "%s: %s", doing, cudaGetErrorString(error));
}

}  // namespace tmx::cuda
