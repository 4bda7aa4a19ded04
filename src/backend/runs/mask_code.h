// A mask in few bytes, to send it to another host: its first row by stretches of equal entries, each further row by
// what changes from the one before. A causal mask of 2,048 rows over 128K keys, half a gigabyte, takes 32 KB. Plain
// arrays in, plain values out.
//
// THE CODE is a row of 32-bit words, little endian: k_mask_code, n_rows, n_kv; for each row the number of stretches,
// and for each stretch its first cell, its number of cells and what all of them hold (16 bits). What no stretch covers
// is as in the row before, of the first row hidden.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace tmx {

constexpr uint32_t k_mask_code = 0x316b736d;  // "msk1"

// `mask`: [n_rows, n_kv] bits of f16, contiguous. Empty: it would take more than `most_bytes`.
// REQUIRES n_rows, n_kv in [1, 2^31).
// COST     One pass over the mask.
std::vector<uint32_t> encode_mask(const uint16_t * mask, int64_t n_rows, int64_t n_kv, size_t most_bytes);

// What it was made of, some rows at a time, in order: `take` gets them, the first one's number and how many. False: it
// is no code of a mask of that shape; what was taken before that then means nothing. Reads any words safely.
// REQUIRES as encode_mask(); block_rows >= 1. Throws bad_alloc, and what `take` throws.
bool decode_mask(std::span<const uint32_t> code, int64_t n_rows, int64_t n_kv, int64_t block_rows,
                 const std::function<void(const uint16_t * rows, int64_t first, int64_t n)> & take);

}  // namespace tmx
