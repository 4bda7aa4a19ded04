#pragma once

#include "kernels/cuda/launch.h"
#include "trianglemix/attention.h"

namespace tmx::cuda {

// A thread block's part: many enough to fill a device from a few thousand keys on, few enough to upload.
constexpr int32_t k_stage_keys = 64;

// Keys of ranks [rank_begin, rank_begin + n_keys) of one segment, to rows [to, to + n_keys) of the staged tensor.
// n_keys is at most k_stage_keys.
struct stage_job {
    int32_t batch;
    int32_t key_begin;    // index on the key axis of rank 0, without cells
    int32_t cells_begin;  // >= 0: rank j lies at cells[cells_begin + j]
    int32_t rank_begin;
    int32_t n_keys;
    int32_t to;
    int32_t unused[2];
};

// One of K and V as ggml has it.
struct stage_source {
    const void * data;
    dtype type;
    int64_t stride_batch, stride_head, stride_row;  // elements
    int32_t n_head;
    int32_t dim;  // multiple of 8, of 32 for block types
};

// Gathers and decodes into `to`, [row, head, dim] of f16, or of bf16 if the source is. `jobs` and `cells` are device
// memory.
cudaError_t stage(const stage_source & source, const stage_job * jobs, int32_t n_jobs, const int32_t * cells, void * to,
                  cudaStream_t stream);

}  // namespace tmx::cuda
