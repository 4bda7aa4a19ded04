// trianglemix/cuda_mask_rows.h -- how the rows of an attention mask in a GPU's memory differ from one another, so that
// the host need not copy a mask (2 bytes a pair, half a gigabyte for 2,048 rows over 128K keys) to know what it holds.
//
// In builds without CUDA (TMX_CUDA=OFF) cuda_compare_mask_rows() does not exist.
#pragma once

#include <cstdint>
#include <span>

#include "trianglemix/cuda_attention.h"
#include "trianglemix/status.h"

namespace tmx {

// [n_stream, n_rows, n_kv] bits of f16, entries contiguous; strides in elements.
struct device_mask {
    const void * data = nullptr;  // DEVICE
    int64_t stride_stream = 0;    // 0 if all streams share one mask
    int64_t stride_row = 0;
    int64_t n_stream = 0;
    int64_t n_rows = 0;
    int64_t n_kv = 0;  // below 2^31
};

// What is said of a row that has a cell of its own, these added up.
// The cell's entry is -inf.
constexpr uint8_t k_hides_own = 1;
// Bitwise equal to the row before it in its stream but for that cell, which is 0 here and -inf there. Never said of a
// stream's first row.
constexpr uint8_t k_adds_own = 2;

// SHAPES   cells: HOST [n_stream, n_rows], the own cell of each row on its stream's key axis; any other number (-1,
//          say): there is none. found: HOST, likewise.
// COST     Reads the mask once, at the speed of the device's memory, behind what the stream holds; waits for it. 5
//          bytes of the context's scratch memory a row.
// ERRORS   invalid_argument: sizes below 1 or spans that do not fit. out_of_memory (also: the context's limit is
//          reached), device_error. `found` then holds nothing.
status cuda_compare_mask_rows(const device_mask & mask, std::span<const int32_t> cells, std::span<uint8_t> found,
                              cuda_context & ctx, void * stream) noexcept;

}  // namespace tmx
