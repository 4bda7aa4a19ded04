// trianglemix/norms.h -- norms of a prompt's rows on the CPU: what ggml's RMS_NORM does, and the MUL that follows it.
//
// Each row is divided by the root of the mean of its squares, and multiplied by weights that all rows share.
#pragma once

#include <array>
#include <cstdint>

#include "trianglemix/status.h"

namespace tmx {

// Non-owning. Rows are counted along three axes, the innermost first; the values of a row are contiguous.
struct norm_args {
    const float * rows = nullptr;
    const float * weights = nullptr;  // [width]; null: rows are not multiplied
    float * out = nullptr;
    bool normalise = true;                      // false: rows are multiplied by the weights alone
    float epsilon = 0;                          // >= 0, added to the mean of a row's squares
    int64_t width = 0;                          // >= 1, values of a row
    std::array<int64_t, 3> n_rows = {1, 1, 1};  // >= 0
    std::array<int64_t, 3> row_strides = {};    // elements
    std::array<int64_t, 3> out_strides = {};    // elements
};

// KEEPS    out of all rows; memory between rows of out is left as it is.
// REQUIRES a row of out overlaps no row but its own, and that exactly, and no weights.
// NUMERICS As ggml's CPU code: squares rounded to f32, summed in f64; mean, root, and both products in f32. So a result
//          differs from ggml's only where the order of an f64 sum makes a mean round to another f32. The same bits on
//          every run, for any number of threads, and for a row whatever rows stand beside it.
// COST     Reads a row once, and once more out of the first cache.
// ERRORS   invalid_argument, unsupported: out is unchanged.
// THREADS  Reentrant with distinct out. `kernel`: one of product_kernels() by name; null: the best this CPU runs.
status normalise_rows(const norm_args & args, int32_t n_threads, const char * kernel) noexcept;

}  // namespace tmx
