#include "select/merge_heads.h"

#include <cuda_runtime_api.h>

namespace tmx {
namespace {

constexpr int k_threads = 256;

__device__ inline bool is_marked(const merged_heads & heads, int32_t head) {
    return (heads.marked[head / 32] >> (head % 32) & 1) != 0;
}

// A thread a word.
__global__ void __launch_bounds__(k_threads) merge_heads_kernel(const __grid_constant__ merged_heads heads) {
    const int64_t at = int64_t{blockIdx.x} * k_threads + threadIdx.x;
    if (at >= heads.n_heads * heads.head_words) {
        return;
    }
    const auto head = static_cast<int32_t>(at / heads.head_words);
    const int64_t word = at % heads.head_words;
    if (!is_marked(heads, head)) {
        return;
    }
    if (heads.from == nullptr) {
        heads.to[at] = ~uint32_t{0};
        return;
    }
    uint32_t bits = 0;
    const int32_t begin = head / heads.group * heads.group;
    for (int32_t other = begin; other < begin + heads.group; ++other) {
        bits |= is_marked(heads, other) ? heads.from[other * heads.head_words + word] : 0;
    }
    heads.to[at] = bits;
}

}  // namespace

status cuda_merge_heads(const merged_heads & heads, void * stream) {
    const int64_t n_blocks = (heads.n_heads * heads.head_words + k_threads - 1) / k_threads;
    merge_heads_kernel<<<static_cast<unsigned>(n_blocks), k_threads, 0, static_cast<cudaStream_t>(stream)>>>(heads);
    if (const cudaError_t error = cudaGetLastError(); error != cudaSuccess) {
        return status::error(status_code::device_error, "merging the bits of heads: %s", cudaGetErrorString(error));
    }
    return {};
}

}  // namespace tmx
