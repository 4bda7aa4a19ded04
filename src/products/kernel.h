// What one kernel is to its caller (products.cpp): three steps over plain memory.
//
//     round     rows become 8-bit integers, a scale a group of values
//     pack      weights of some columns become a panel: integers, scales and minima in the order the product reads them
//     multiply  a few rows times one panel
#pragma once

#include <cstddef>
#include <cstdint>

#include "products/weight_formats.h"
#include "trianglemix/products.h"

namespace tmx::products {

// Rows that are multiplied with a panel at a time. 6 x 2 vectors of integer sums and as many of f32 fill AVX-512's
// registers, and each load of weights serves six rows.
constexpr int64_t k_tile_rows = 6;

// Columns of the widest kernel's panel.
constexpr int64_t k_widest_panel = 32;

// All rows of a call, rounded. Arrays over rows first; n_groups = depth / group.
struct rounded_rows {
    void * values = nullptr;     // [n_rows, depth] int8 (quads) or int16 (pairs)
    float * scales = nullptr;    // [n_rows, n_groups]
    float * sums = nullptr;      // [n_rows, n_groups] scale * sum of integers; formats with a minimum only
    int32_t * starts = nullptr;  // [n_rows, n_groups] what integer sums start from; quads only
};

// Integers are interleaved so that a 32-bit element holds neighbours in depth of one column: four int8, biased by 128
// to be unsigned (quads), or two int16 (pairs).
struct weight_panel {
    void * values = nullptr;   // [depth / neighbours][width][neighbours]
    float * scales = nullptr;  // [n_groups][width]
    float * mins = nullptr;    // [n_groups][width]; formats with a minimum only
};

struct tile {
    int64_t row = 0;        // first of n_rows rows of `rounded_rows`
    int64_t n_rows = 0;     // 1..k_tile_rows
    int64_t n_columns = 0;  // 1..panel width; the panel's others are zeros
    float * out = nullptr;  // of the first row and column
};

struct kernel {
    const char * name;
    int64_t highway_target;  // bit of hwy::SupportedTargets() that the CPU must have; k_any_cpu: none
    bool (*available)();     // what the CPU must have beyond that; null: nothing
    int64_t least_rows;      // product_kernel_info
    int64_t panel_width;
    int64_t value_bytes;  // of a rounded value and of a panel's: 1 (quads) or 2 (pairs)

    void (*round)(const product_args & args, int64_t row_begin, int64_t row_end, const rounded_rows & rounded);
    void (*pack)(const product_args & args, int64_t column_begin, int64_t n_columns, const weight_panel & panel);
    void (*multiply)(const product_args & args, const rounded_rows & rounded, const weight_panel & panel,
                     const tile & t);
};

constexpr int64_t k_any_cpu = 0;

// Best first; those this CPU cannot run included.
struct kernel_list {
    const kernel * begin_;
    size_t size_;
    const kernel * begin() const { return begin_; }
    const kernel * end() const { return begin_ + size_; }
};
kernel_list all_kernels();
bool runs_here(const kernel & k);

}  // namespace tmx::products
