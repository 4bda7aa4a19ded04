// Launches the form of a kernel that is made for a head dimension.
#pragma once

#include "probe/cuda/tile_math.cuh"

namespace tmx::cuda_probe {

// `kernels`: for up to 64, 128 and 256 dimensions. A block gets n_tiles tiles of shared memory.
template <typename params>
struct kernel_forms {
    void (*up_to_64)(params);
    void (*up_to_128)(params);
    void (*up_to_256)(params);
};

template <typename params>
cudaError_t launch(const kernel_forms<params> & forms, dim3 grid, int n_tiles, const params & p) {
    const auto kernel = p.shape.d <= 64 ? forms.up_to_64 : p.shape.d <= 128 ? forms.up_to_128 : forms.up_to_256;
    const int bytes = n_tiles * static_cast<int>(sizeof(shared_tile));
    const cudaError_t error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
    if (error != cudaSuccess) {
        return error;
    }
    kernel<<<grid, k_threads, bytes>>>(p);
    return cudaGetLastError();
}

}  // namespace tmx::cuda_probe
