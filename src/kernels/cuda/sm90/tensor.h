// Boxes of any tensor of up to four axes, for kernels that do not copy keys of attention (tensor_map.h).
#pragma once

#include <cuda.h>
#include <driver_types.h>

#include <cstdint>

namespace tmx::cuda::sm90 {

// 16-bit floats [batch][head][row][dim]. Strides count elements.
struct tensor {
    const void * data;
    int64_t dim, stride_batch, stride_head, stride_row;
    int64_t n_rows, n_head, n_batch;
};
// In boxes of 64 dims and `box_rows` rows of one head and batch.
cudaError_t make_map(const tensor & t, uint32_t box_rows, bool bf16, CUtensorMap & map);

}  // namespace tmx::cuda::sm90
