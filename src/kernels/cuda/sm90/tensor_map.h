// Descriptions of K and V for the tensor copy engine.
#pragma once

#include <cuda.h>

#include "kernels/cuda/launch.h"

namespace tmx::cuda::sm90 {

// Boxes of a whole tile and of one slice.
struct tensor_maps {
    CUtensorMap k;
    CUtensorMap v;
    CUtensorMap k_slice;
    CUtensorMap v_slice;
};

// REQUIRES k and v aligned to 16 bytes, and their strides multiples of that.
cudaError_t make_maps(const kernel_params & params, int32_t tile_keys, bool bf16, tensor_maps & maps);

}  // namespace tmx::cuda::sm90
