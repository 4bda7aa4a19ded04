// trianglemix/products.h -- a prompt's matrix products on the CPU: rows of f32 times weights in ggml's formats.
//
// One call computes out = rows * transpose(weights), in one of four arithmetics (docs/products.md). It is faster than
// ggml's own code where many rows share the weights.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "trianglemix/status.h"

namespace tmx {

// ggml's formats of the same names.
enum class weight_type : uint8_t { q8_0, q4_0, q4_1, q5_0, q5_1, q4_k, q5_k, q6_k, f32, f16, bf16 };
constexpr int k_weight_types = 11;

const char * name_of(weight_type type) noexcept;
int64_t weight_block_elems(weight_type type) noexcept;  // 1: f32, f16, bf16
int64_t weight_block_bytes(weight_type type) noexcept;

// What weights and rows are multiplied as. Sums are f32.
enum class product_arithmetic : uint8_t {
    host,  // as ggml's CPU code does it for these weights, so that results differ from its by the order of sums alone:
           // rows rounded to 8 bits a block and multiplied as integers; f16, bf16: rows rounded likewise; f32: as is
    f32,   // weights as the f32 values they stand for, rows as they are
    bf16,  // both rounded to bf16
    i16,   // both rounded to integers of 14 bits, with a scale for each 32 values
};
const char * name_of(product_arithmetic arithmetic) noexcept;

// Non-owning. The last axis of each array is contiguous.
struct product_args {
    const void * weights = nullptr;  // [n_columns, depth] `type`
    const float * rows = nullptr;    // [n_rows, depth]
    float * out = nullptr;           // [n_rows, n_columns]
    weight_type type = weight_type::q8_0;
    product_arithmetic arithmetic = product_arithmetic::host;
    int64_t n_rows = 0;     // >= 0
    int64_t n_columns = 0;  // >= 0
    int64_t depth = 0;      // >= 1, a multiple of weight_block_elems(type)
    int64_t weight_stride_bytes = 0;
    int64_t row_stride = 0;       // elements
    int64_t out_stride = 0;       // elements
    bool rows_unchanged = false;  // `rows` hold what they held in the last call with this context, if that had the same
                                  // pointer: then they are not rounded again where that made what is needed now
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
// REQUIRES rows_unchanged, if set, is true; out overlaps neither rows nor weights; strides at least as long as what
//          they step over.
// NUMERICS docs/products.md. The same bits on every run, for every thread count, and for a row whatever rows stand
//          beside it. Where a value of a row is infinite or NaN, that row of `out` is not specified; other rows are not
//          touched by it. In i16, values below 2^-113 are rounded to multiples of 2^-126, and the largest values of 32
//          weights and of the 32 values of a row that they meet must have a product between 2^-99 and 2^153.
// COST     2 * n_rows * n_columns * depth operations; reads the weights once, or a few times where there are more
//          threads than panels of weights. Scratch: up to 4 bytes a value of `rows`, and a panel of weights a thread.
// ERRORS   invalid_argument, unsupported (a kernel without that arithmetic), out_of_memory: out is unchanged.
// THREADS  Reentrant with distinct out and ctx.
status multiply_rows(const product_args & args, product_context & ctx) noexcept;

// The kernels compiled in that this CPU can run, best first: "avx512_bf16", "avx512_vnni", "avx512", "avx2", "ssse3";
// or "neon"; and "portable".
struct product_kernel_info {
    const char * name;
    bool bf16;  // has product_arithmetic::bf16
    bool i16;   // has product_arithmetic::i16
};
std::vector<product_kernel_info> product_kernels();

// Rows from which the kernel of that name is known to be the fastest way of multiplying with such weights: faster than
// ggml's own code, and than its own other arithmetics that round to 8 bits or bf16. INT64_MAX: at no length, or no such
// kernel.
int64_t product_least_rows(std::string_view kernel, weight_type type, product_arithmetic arithmetic) noexcept;

}  // namespace tmx
