// 16-bit operands of mma.sync in shared memory: rows of 64 elements, 128 bytes, whose 16-byte chunks are swizzled by
// the row, so that neither copies nor ldmatrix meet in a bank. Wider rows are several such panels, one after the other.
#pragma once

#include "kernels/cuda/ptx.cuh"

namespace tmx::cuda {

constexpr int k_panel_elements = 64;
constexpr int k_panel_row_bytes = 128;

// Bytes to the 8 elements of a chunk, in panels of n_rows rows.
template <int n_rows>
__device__ inline uint32_t chunk_offset(int row, int chunk) {
    return ((chunk / 8 * n_rows + row) * 8 + ((chunk ^ row) & 7)) * 16;
}

// Queries go from global memory to the registers of mma.sync without shared memory between: a thread loads 4 elements
// in a row where the instruction wants two pairs 8 apart. Products do not mind as long as the other operand's elements
// are in that order, too: where element i of each 16 lies there.
__device__ constexpr int fragment_place(int i) {
    const int within = i % 16;
    return i / 16 * 16 + within / 4 * 2 + within % 2 + within % 4 / 2 * 8;
}

}  // namespace tmx::cuda
