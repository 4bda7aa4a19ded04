// trianglemix/cuda_line_sums.h -- line_sums.h on an NVIDIA GPU, for selectors (cuda_attention.h): all of it enqueued.
// Includes nothing of CUDA. In builds without CUDA neither function exists.
#pragma once

#include <cstdint>

#include "trianglemix/attention.h"
#include "trianglemix/cuda_attention.h"
#include "trianglemix/status.h"

namespace tmx {

constexpr int64_t k_most_line_rows = 128;

// Sums in DEVICE memory, inside the workspace.
struct cuda_line_sums {
    const float * vertical = nullptr;  // [n_head][keys]
    const float * slash = nullptr;     // [n_head][keys]
};

// Of rows of that shape; a multiple of 256.
int64_t cuda_line_sums_bytes(const bitmap_shape & shape, int64_t n_rows) noexcept;

// The weights of the last `n_rows` rows, at most k_most_line_rows, or of all if there are fewer.
//
// REQUIRES args and rows as a selector is given them; workspace: DEVICE [cuda_line_sums_bytes()], aligned to 256 bytes.
// NUMERICS Q is rounded to the type of K; else as sum_lines(). Same bits on every run.
// COST     Twice n_rows * keys products of a query and a key for each head; K is read twice for every 128 packed rows
//          (rows x heads of a group). Memory grows with keys * heads, not with n_rows.
// ERRORS   device_error; unsupported: a softcap, or a head dimension or type that cuda_declines() names.
status cuda_sum_lines(const attention_args & args, const cuda_selected_rows & rows, int64_t n_rows, void * workspace,
                      void * stream, cuda_line_sums & sums) noexcept;

}  // namespace tmx
