// The launch of group_products.cuh: by the kernel for Hopper, or by that for everything since Ampere.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "trianglemix/status.h"

namespace tmx::cuda {

struct group_params;

// Whether the device's kernel reads groups of keys of d dims where they lie (group_params::in_place).
cudaError_t reads_groups_in_place(int64_t d, bool & reads);

// Device: the current one. packed_next: whether params.next is packed by it, too.
status group_products(const group_params & params, int64_t n_heads, bool bf16, cudaStream_t stream, bool & packed_next);

cudaError_t group_products_sm80(const group_params & params, int64_t n_heads, bool bf16, cudaStream_t stream);
cudaError_t group_products_sm90(const group_params & params, int64_t n_heads, bool bf16, cudaStream_t stream);

}  // namespace tmx::cuda
