// Whether the current device is Hopper, for which some kernels exist beside those for everything since Ampere.
#pragma once

#include <cuda_runtime_api.h>

namespace tmx::cuda {

inline cudaError_t is_hopper(bool & hopper) {
    int device = 0;
    int major = 0;
    int minor = 0;
    cudaError_t error = cudaGetDevice(&device);
    if (error == cudaSuccess) {
        error = cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device);
    }
    if (error == cudaSuccess) {
        error = cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device);
    }
    hopper = major == 9 && minor == 0;
    return error;
}

}  // namespace tmx::cuda
