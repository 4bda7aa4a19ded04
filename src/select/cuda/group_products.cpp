#include "select/cuda/group_products.h"

#include "select/cuda/launches.h"

namespace tmx::cuda {
namespace {

cudaError_t is_hopper(bool & hopper) {
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

}  // namespace

status group_products(const group_params & params, int64_t n_heads, bool bf16, cudaStream_t stream) {
    bool hopper = false;
    cudaError_t error = is_hopper(hopper);
    if (error == cudaSuccess) {
        error = hopper ? group_products_sm90(params, n_heads, bf16, stream)
                       : group_products_sm80(params, n_heads, bf16, stream);
    }
    return launched(error, "products of groups");
}

}  // namespace tmx::cuda
