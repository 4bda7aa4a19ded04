// The scores of "means" by Hopper's own instructions, for head dimensions up to k_most_hopper_dim. The mean keys'
// dimensions lie in their order there.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

namespace tmx::cuda {

struct score_params;

constexpr int64_t k_most_hopper_dim = 128;

// REQUIRES a Hopper as the current device. n_mean_keys: of all key heads, with those that pad each.
cudaError_t score_means_on_hopper(const score_params & params, int64_t n_mean_keys, bool bf16, cudaStream_t stream);

}  // namespace tmx::cuda
