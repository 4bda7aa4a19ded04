// trianglemix/products.h -- a prompt's matrix products on the CPU: rows of f32 times weights in ggml's block formats.
//
// One call computes out = rows * transpose(weights), in the arithmetic of ggml's own CPU code: rows are rounded to 8
// bits a block, values are multiplied as integers, blocks are summed in f32. So it differs from the host's result by
// the order of sums in f32, and is faster where many rows share the weights (docs/products.md).
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "trianglemix/status.h"

namespace tmx {

// ggml's block formats of the same names.
enum class weight_type : uint8_t { q8_0, q4_0, q4_1, q5_0, q5_1, q4_k, q5_k, q6_k };
constexpr int k_weight_types = 8;

const char * name_of(weight_type type) noexcept;
int64_t weight_block_elems(weight_type type) noexcept;
int64_t weight_block_bytes(weight_type type) noexcept;

// Non-owning. The last axis of each array is contiguous.
struct product_args {
    const void * weights = nullptr;  // [n_columns, depth] `type`
    const float * rows = nullptr;    // [n_rows, depth]
    float * out = nullptr;           // [n_rows, n_columns]
    weight_type type = weight_type::q8_0;
    int64_t n_rows = 0;     // >= 0
    int64_t n_columns = 0;  // >= 0
    int64_t depth = 0;      // >= 1, a multiple of weight_block_elems(type)
    int64_t weight_stride_bytes = 0;
    int64_t row_stride = 0;  // elements
    int64_t out_stride = 0;  // elements
};

// Scratch of one caller, kept between calls. One call at a time per context; contexts are independent.
class product_context {
  public:
    product_context() noexcept;
    ~product_context();
    product_context(const product_context &) = delete;
    product_context & operator=(const product_context &) = delete;

    int32_t n_threads = 1;          // >= 1; OpenMP threads of a call
    const char * kernel = nullptr;  // force one of product_kernels() by name; null: the best this CPU runs

    struct scratch;
    std::unique_ptr<scratch> memory;  // private to the kernels
};

// KEEPS    out[r * out_stride + c] for all r < n_rows, c < n_columns; memory between rows of out is left as it is.
// REQUIRES out overlaps neither rows nor weights; strides at least as long as what they step over.
// NUMERICS docs/products.md. The same bits on every run, for every thread count, and for a row whatever rows stand
//          beside it. Where a value of a row is infinite or NaN, that row of `out` is not specified; other rows are not
//          touched by it.
// COST     2 * n_rows * n_columns * depth operations; reads the weights once, or a few times where there are more
//          threads than panels of weights. Scratch: up to 2 bytes a value of `rows`, and a panel of weights a thread.
// ERRORS   invalid_argument, unsupported, out_of_memory: out is unchanged.
// THREADS  Reentrant with distinct out and ctx.
status multiply_rows(const product_args & args, product_context & ctx) noexcept;

// The kernels compiled in that this CPU can run, best first: "avx512_vnni", "avx512", "avx2", "ssse3"; or "neon"; and
// "portable".
struct product_kernel_info {
    const char * name;
    int64_t least_rows;  // below it this kernel is not known to be faster than ggml's own; INT64_MAX: at no length
};
std::vector<product_kernel_info> product_kernels();

}  // namespace tmx
