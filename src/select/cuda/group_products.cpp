#include "select/cuda/group_products.h"

#include "select/cuda/hopper.h"
#include "select/cuda/launches.h"

namespace tmx::cuda {

constexpr int64_t k_box_dims = 64;  // that the tensor copy takes at a time

cudaError_t reads_groups_in_place(int64_t d, bool & reads) {
    const cudaError_t error = is_hopper(reads);
    reads = reads && d % k_box_dims == 0;
    return error;
}

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
