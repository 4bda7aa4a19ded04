// A thread block holds each row against the one before it. Neighbouring rows are read by neighbouring blocks at about
// the same time, so that the second cache has most of what is read twice: the floor is the mask's bytes by the memory's
// speed, 0.16 ms for half a gigabyte on an H100.
#include "kernels/cuda/mask_rows.h"

namespace tmx::cuda {
namespace {

constexpr int k_threads = 256;
constexpr uint16_t k_visible = 0x0000;  // f16 0
constexpr uint16_t k_hidden = 0xfc00;   // f16 -inf

// Entries of a load.
template <class word>
constexpr int64_t k_entries = sizeof(word) / sizeof(uint16_t);

__device__ inline bool differ(uint16_t a, uint16_t b) {
    return a != b;
}

__device__ inline bool differ(const uint4 & a, const uint4 & b) {
    return ((a.x ^ b.x) | (a.y ^ b.y) | (a.z ^ b.z) | (a.w ^ b.w)) != 0;
}

template <class word>
__global__ void __launch_bounds__(k_threads)
    compare_kernel(const device_mask mask, const int32_t * cells, uint8_t * found) {
    const int64_t i = blockIdx.x;
    const int64_t at_row = i % mask.n_rows;
    const uint16_t * row =
        static_cast<const uint16_t *>(mask.data) + i / mask.n_rows * mask.stride_stream + at_row * mask.stride_row;
    const int64_t cell = cells[i];
    const bool has_cell = cell >= 0 && cell < mask.n_kv;
    bool differs = false;
    if (has_cell && at_row > 0) {
        const auto * here = reinterpret_cast<const word *>(row);
        const auto * before = reinterpret_cast<const word *>(row - mask.stride_row);
        const int64_t own = cell / k_entries<word>;
        for (int64_t at = threadIdx.x; at < mask.n_kv / k_entries<word>; at += k_threads) {
            differs |= at != own && differ(here[at], before[at]);
        }
        const int64_t entry = own * k_entries<word> + threadIdx.x;  // the rest of the cell's word
        if (threadIdx.x < k_entries<word> && entry != cell) {
            differs |= row[entry] != (row - mask.stride_row)[entry];
        }
    }
    const bool any_differs = __syncthreads_or(static_cast<int>(differs)) != 0;
    if (threadIdx.x == 0) {
        uint8_t says = 0;
        if (has_cell) {
            says |= row[cell] == k_hidden ? k_hides_own : 0;
            const bool adds =
                at_row > 0 && !any_differs && row[cell] == k_visible && (row - mask.stride_row)[cell] == k_hidden;
            says |= adds ? k_adds_own : 0;
        }
        found[i] = says;
    }
}

}  // namespace

cudaError_t compare_mask_rows(const device_mask & mask, const int32_t * cells, uint8_t * found, cudaStream_t stream) {
    const auto n_blocks = static_cast<unsigned>(mask.n_stream * mask.n_rows);
    const auto by_words = [](int64_t n) { return n % k_entries<uint4> == 0; };
    const bool words = by_words(mask.stride_stream) && by_words(mask.stride_row) && by_words(mask.n_kv) &&
                       reinterpret_cast<uintptr_t>(mask.data) % sizeof(uint4) == 0;
    if (words) {
        compare_kernel<uint4><<<n_blocks, k_threads, 0, stream>>>(mask, cells, found);
    } else {
        compare_kernel<uint16_t><<<n_blocks, k_threads, 0, stream>>>(mask, cells, found);
    }
    return cudaGetLastError();
}

}  // namespace tmx::cuda
