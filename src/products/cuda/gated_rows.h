// The kernels beside the products of a feed-forward block. A thread computes eight values.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

namespace tmx::cuda {

constexpr int64_t k_values_of_thread = 8;

// x, [n_rows][n_in] f32 with a stride, as f16 without gaps.
cudaError_t round_rows(const float * x, int64_t stride, int64_t n_rows, int64_t n_in, void * to, cudaStream_t stream);

// values, [n_rows][n] f16 without gaps, as f32, with what is added to them unless that is null. It may be `to`.
cudaError_t widen_rows(const void * values, int64_t n_rows, int64_t n, const float * added, int64_t added_stride,
                       float * to, int64_t to_stride, cudaStream_t stream);

// silu(gate) * up of n values in f16, in f32 and rounded; `to` may be either.
cudaError_t gate_values(const void * gate, const void * up, int64_t n, void * to, cudaStream_t stream);

}  // namespace tmx::cuda
