// probe/cuda/probe_kernels.h -- the kernels of cuda_probe_attention.cpp, as the host sees them.
//
// All pointers are to device memory, 16-byte aligned, laid out as in probe_attention.h. The functions launch on the
// current device's default stream and return what the launch returned.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "probe/cuda/row_plan.h"
#include "probe/probe_attention.h"
#include "trianglemix/geometry.h"

namespace tmx::cuda_probe {

// section_sums of the sections, in their order, as the device writes them.
constexpr int k_sums = 4;
constexpr int k_head_sums = 3 * k_sums;

struct forward_params {
    probe_attention_shape shape;
    const float * q = nullptr;
    const float * k = nullptr;
    const float * v = nullptr;
    float * out = nullptr;
    float * lse = nullptr;                  // null: not wanted
    const kept_row * kept = nullptr;        // [n]
    const int32_t * first_range = nullptr;  // [n_tiles + 1]
    const tile_range * ranges = nullptr;
    const uint8_t * dense_head = nullptr;  // [n_head]; null: none
};

struct backward_params {
    probe_attention_shape shape;
    const float * q = nullptr;
    const float * k = nullptr;
    const float * v = nullptr;
    const float * out = nullptr;
    const float * lse = nullptr;
    const float * d_out = nullptr;
    float * dots = nullptr;  // [n_head, n] scratch: do_i . o_i
    float * dq = nullptr;
    float * dk = nullptr;
    float * dv = nullptr;
    double * sums = nullptr;  // [n_head, n_tiles, k_head_sums]: of each tile of rows
    band streaming;
    int64_t last_begin = 0;  // first row of section "last"
};

cudaError_t launch_forward(const forward_params & params);
cudaError_t launch_backward(const backward_params & params);

}  // namespace tmx::cuda_probe
