// The two passes over keys that line_sums.cu makes: what they are given, and the kernels that make them.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "trianglemix/geometry.h"

namespace tmx::cuda {

constexpr int k_line_rows = 128;                           // packed: row m is row m % row_step of head m / row_step
constexpr int k_line_slab = 512;                           // keys
constexpr int k_slab_slashes = k_line_slab + k_line_rows;  // room for one head's, row_step - 1 + k_line_slab

struct line_params {
    const float * q;  // of the first row and head
    const void * k;   // of rank 0 and the first key head
    int64_t q_stride_head, q_stride_row;
    int64_t k_stride_head, k_stride_row;
    int32_t d;
    int32_t n_keys;
    int32_t n_rows;    // of a head
    int32_t row_step;  // 64 or 128, at least n_rows
    int32_t first_rank;
    int32_t n_head, group;
    int32_t n_slabs;
    float scale_log2;  // of the absolute value of the scale; not 0, so that -inf times it is -inf
    float q_sign;
    float2 * parts;    // [head][row_step][slab] largest exponent, and the sum of 2^(exponent - largest)
    float * shifts;    // [head][row_step] what exponents are lowered by, so that weights add up to 1 / n_rows
    float * vertical;  // [head][n_keys]
    float * slashes;   // [head][slab][k_slab_slashes]; number v of a slab is distance far_distance(slab) - v
    float * slash;     // [head][n_keys]

    TMX_HOST_DEVICE int32_t heads_of_block() const { return k_line_rows / row_step; }
    TMX_HOST_DEVICE int32_t far_distance(int32_t slab) const { return first_rank + row_step - 1 - slab * k_line_slab; }
};

// The first finds each row's share of its sum, into `parts`; the second adds weights up, into `vertical` and `slashes`.
enum class line_pass { measure, add };

// By mma.sync: every dimension up to 256. By Hopper's instructions: dimensions up to this.
constexpr int64_t k_most_hopper_line_dim = 128;
cudaError_t run_line_pass_sm80(line_pass pass, const line_params & p, int64_t n_head_kv, bool bf16,
                               cudaStream_t stream);
cudaError_t run_line_pass_sm90(line_pass pass, const line_params & p, int64_t n_head_kv, bool bf16,
                               cudaStream_t stream);

}  // namespace tmx::cuda
