// What a product's inner loop is handed, whichever instructions it is made of.
#pragma once

#include <algorithm>
#include <cstdint>

#include "products/kernel.h"

namespace tmx::products {

template <class element>
struct operands {
    const element * rows;  // [n, row_stride]
    int64_t row_stride;
    const float * row_scales;  // [n, n_groups], as the next two; integers only
    const float * row_sums;
    const int32_t * starts;
    const weight_panel * panel;
    int64_t depth;
    int64_t n_groups;
    float * out;
    int64_t out_stride;
};

// Calls inner.template run<rows>(operands) for the tile's rows, a few at a time, and sees to it that all of a panel's
// columns can be stored: where some are missing, beside the output first.
template <class element, int64_t width, class Inner>
void multiply_tile(const product_args & args, const rounded_rows & rounded, const weight_panel & panel, const tile & t,
                   const Inner & inner) {
    const int64_t n_groups = n_scale_groups(args);
    const bool whole = t.n_columns == width;
    alignas(64) float beside[k_tile_rows * width];
    const void * rows = rounded.values == nullptr ? args.rows : rounded.values;
    operands<element> op{static_cast<const element *>(rows) + t.row * rounded.row_stride,
                         rounded.row_stride,
                         rounded.scales + t.row * n_groups,
                         rounded.sums + t.row * n_groups,
                         rounded.starts + t.row * n_groups,
                         &panel,
                         args.depth,
                         n_groups,
                         whole ? t.out : beside,
                         whole ? args.out_stride : width};
    const auto take = [&](auto count) {
        inner.template run<count()>(op);
        op.rows += count() * op.row_stride;
        op.row_scales += count() * n_groups;
        op.row_sums += count() * n_groups;
        op.starts += count() * n_groups;
        op.out += count() * op.out_stride;
    };
    int64_t left = t.n_rows;
    if (left == k_tile_rows) {
        take(std::integral_constant<int, k_tile_rows>());
        left = 0;
    }
    if (left >= 4) {
        take(std::integral_constant<int, 4>());
        left -= 4;
    }
    if (left >= 2) {
        take(std::integral_constant<int, 2>());
        left -= 2;
    }
    if (left == 1) {
        take(std::integral_constant<int, 1>());
    }
    if (!whole) {
        for (int64_t row = 0; row < t.n_rows; ++row) {
            std::copy_n(beside + row * width, t.n_columns, t.out + row * args.out_stride);
        }
    }
}

}  // namespace tmx::products
