#include "select/cuda/group_products.h"

#include "select/cuda/hopper.h"
#include "select/cuda/launches.h"

namespace tmx::cuda {

status group_products(const group_params & params, int64_t n_heads, bool bf16, cudaStream_t stream,
                      bool & packed_next) {
    bool hopper = false;
    cudaError_t error = is_hopper(hopper);
    if (error == cudaSuccess) {
        error = hopper ? group_products_sm90(params, n_heads, bf16, stream)
                       : group_products_sm80(params, n_heads, bf16, stream);
    }
    packed_next = hopper;
    return launched(error, "products of groups");
}

}  // namespace tmx::cuda
