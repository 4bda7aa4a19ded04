#include "products/scratch.h"

#include <algorithm>

namespace tmx {
namespace {

using cpu_base::carver;

// How many values a row of rounded values, or a column of a panel, takes: 16 bytes are packed at a time, groups with
// a scale are whole.
int64_t filled_depth(const product_args & args, const products::steps & steps) {
    const int64_t step = std::max(16 / steps.value_bytes, products::scale_group(args.type, args.arithmetic));
    return (args.depth + step - 1) / step * step;
}

products::rounded_rows carve_rows(carver & pieces, const product_args & args, const products::steps & steps) {
    products::rounded_rows rows;
    if (products::row_rounding_of(args.type, args.arithmetic) == products::rounding::none) {
        rows.row_stride = args.row_stride;
        return rows;
    }
    rows.row_stride = filled_depth(args, steps);
    rows.values = pieces.take<std::byte>(args.n_rows * rows.row_stride, steps.value_bytes);
    if (const int64_t scales = args.n_rows * products::n_scale_groups(args); scales > 0) {
        rows.scales = pieces.take<float>(scales);
        rows.sums = pieces.take<float>(scales);
        rows.starts = pieces.take<int32_t>(scales);
    }
    return rows;
}

products::weight_panel carve_panel(carver & pieces, const product_args & args, const products::steps & steps) {
    const int64_t scales = steps.panel_width * products::n_scale_groups(args);
    products::weight_panel panel;
    panel.values = pieces.take<std::byte>(steps.panel_width * filled_depth(args, steps), steps.value_bytes);
    panel.scales = pieces.take<float>(scales);
    panel.mins = pieces.take<float>(scales);
    return panel;
}

}  // namespace

products::rounding_key products::rounding_key_of(const product_args & args, const steps & steps) {
    const weight_format & format = format_of(args.type);
    return {args.rows,       args.n_rows,   args.depth,
            args.row_stride, &steps,        row_rounding_of(args.type, args.arithmetic),
            format.group,    format.has_min};
}

void product_context::scratch::reserve(const product_args & args, const products::steps & steps, int n_contexts) {
    carver rows_size(nullptr);
    carve_rows(rows_size, args, steps);
    carver panel_size(nullptr);
    carve_panel(panel_size, args, steps);
    const size_t bytes = rows_size.used() + panel_size.used() * static_cast<size_t>(n_contexts);
    panels_.reserve(static_cast<size_t>(n_contexts));
    const std::byte * before = block_.get();
    block_.reserve(bytes);
    if (block_.get() != before || !holds(products::rounding_key_of(args, steps))) {
        rounded_ = {};
    }
    carver pieces(block_.get());
    rows_ = carve_rows(pieces, args, steps);
    panels_.clear();
    for (int i = 0; i < n_contexts; ++i) {
        panels_.push_back(carve_panel(pieces, args, steps));
    }
}

}  // namespace tmx
