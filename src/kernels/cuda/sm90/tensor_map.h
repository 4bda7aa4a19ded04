// Descriptions of K and V for the tensor copy engine.
#pragma once

#include <cuda.h>

#include "kernels/cuda/launch.h"

namespace tmx::cuda::sm90 {

constexpr int32_t k_most_tile_slices = 8;

// One of K and V, in boxes of 1, 2, ... slices, up to a tile's.
struct box_maps {
    CUtensorMap of_slices[k_most_tile_slices];
};
struct tensor_maps {
    box_maps k;
    box_maps v;
};

// REQUIRES k and v aligned to 16 bytes, and their strides multiples of that.
cudaError_t make_maps(const kernel_params & params, int32_t tile_keys, bool bf16, tensor_maps & maps);

// A matrix of 16-bit floats whose rows lie one after the other, in boxes of 64 columns and `box_rows` rows.
struct matrix {
    const void * data;
    int64_t n_rows, n_columns;
};
cudaError_t make_map(const matrix & m, uint32_t box_rows, bool bf16, CUtensorMap & map);

}  // namespace tmx::cuda::sm90
