// Descriptions of K and V for the tensor copy engine.
#pragma once

#include <cuda.h>

#include "kernels/cuda/launch.h"

namespace tmx::cuda::sm90 {

// One of K and V, in boxes of a whole tile, of one slice, and of a tile without its first slice.
struct box_maps {
    CUtensorMap tile;
    CUtensorMap slice;
    CUtensorMap rest;
};
struct tensor_maps {
    box_maps k;
    box_maps v;
};

// REQUIRES k and v aligned to 16 bytes, and their strides multiples of that.
cudaError_t make_maps(const kernel_params & params, int32_t tile_keys, bool bf16, tensor_maps & maps);

}  // namespace tmx::cuda::sm90
