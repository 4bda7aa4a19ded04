// What one kernel is to its caller (products.cpp): for each form of panel three steps over plain memory.
//
//     round     rows become what is multiplied: integers with a scale a group of values, f32, or bf16
//     pack      weights of some columns become a panel: values, scales and minima in the order the product reads them
//     multiply  a few rows times one panel
#pragma once

#include <cstddef>
#include <cstdint>

#include "cpu_base/kernel_list.h"
#include "products/weight_formats.h"
#include "trianglemix/norms.h"
#include "trianglemix/products.h"

namespace tmx::products {

// Rows that are multiplied with a panel at a time. 6 x 2 vectors of integer sums and as many of f32 fill AVX-512's
// registers, and each load of weights serves six rows.
constexpr int64_t k_tile_rows = 6;

// All rows of a call, rounded. Arrays over rows first; n_groups = n_scale_groups(args).
struct rounded_rows {
    void * values = nullptr;     // [n_rows, row_stride] int8 (quads), int16 (pairs), float, or bf16; null: the
                                 // call's rows are multiplied as they are
    int64_t row_stride = 0;      // elements; of pairs that are no 8-bit integers zeros follow the last
    float * scales = nullptr;    // [n_rows, n_groups]; integers only, as what follows
    float * sums = nullptr;      // [n_rows, n_groups] scale * sum of integers; formats with a minimum only
    int32_t * starts = nullptr;  // [n_rows, n_groups] what integer sums start from; quads only
};

// Values are interleaved so that a 32-bit element holds neighbours in depth of one column: four int8, biased by 128 to
// be unsigned (quads), two int16 (pairs), one float, or two bf16. A depth that is no multiple of 16 bytes' values is
// filled up with zeros.
struct weight_panel {
    void * values = nullptr;   // [depth / neighbours][width][neighbours]
    float * scales = nullptr;  // [n_groups][width]; integers only
    float * mins = nullptr;    // [n_groups][width]; formats with a minimum only
};

struct tile {
    int64_t row = 0;        // first of n_rows rows of `rounded_rows`
    int64_t n_rows = 0;     // 1..k_tile_rows
    int64_t n_columns = 0;  // 1..panel width; the panel's others are zeros
    float * out = nullptr;  // of the first row and column
};

struct steps {
    int64_t panel_width = 0;
    int64_t value_bytes = 0;    // of a rounded value and of a panel's
    bool fetches_rows = false;  // multiply() fetches the rows behind its own ahead

    void (*round)(const product_args & args, int64_t row_begin, int64_t row_end,
                  const rounded_rows & rounded) = nullptr;
    void (*pack)(const product_args & args, int64_t column_begin, int64_t n_columns,
                 const weight_panel & panel) = nullptr;
    void (*multiply)(const product_args & args, const rounded_rows & rounded, const weight_panel & panel,
                     const tile & t) = nullptr;
};

struct kernel {
    const char * name;
    int64_t highway_target;  // what the CPU must have: a bit of hwy::SupportedTargets(), or cpu_base::k_any_cpu
    bool (*available)();     // what the CPU must have beyond that; null: nothing
    steps integers;
    steps floats;
    steps bf16;  // without functions: this kernel has none; i16 likewise
    steps i16;

    // Norm of one row, between products.
    void (*norm_row)(const norm_args & args, const float * row, float * out);
};

cpu_base::kernel_list<kernel> all_kernels();
bool runs_here(const kernel & k);

// The kernel of that name; null: the best that this CPU runs. ERRORS invalid_argument, unsupported.
status choose_kernel(const char * name, const kernel ** chosen) noexcept;

}  // namespace tmx::products
