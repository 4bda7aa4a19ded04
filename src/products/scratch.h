// The memory behind a product_context: one aligned block, grown on demand and kept between calls.
#pragma once

#include <vector>

#include "cpu_base/scratch_block.h"
#include "products/kernel.h"
#include "products/weight_formats.h"

namespace tmx {

namespace products {

// What rounded rows were made from, and in which form.
struct rounding_key {
    const float * rows = nullptr;
    int64_t n_rows = 0;
    int64_t depth = 0;
    int64_t row_stride = 0;
    const steps * made_by = nullptr;
    rounding how = rounding::none;
    int64_t group = 0;
    bool has_min = false;

    bool operator==(const rounding_key &) const = default;
};

rounding_key rounding_key_of(const product_args & args, const steps & steps);

}  // namespace products

struct product_context::scratch {
    // Room for the rounded rows of a call and a panel for each of n_contexts threads. Throws std::bad_alloc; then the
    // scratch is as it was. Rounded rows that it holds stay, for a call with the same key, unless it has to grow.
    void reserve(const product_args & args, const products::steps & steps, int n_contexts);

    const products::rounded_rows & rows() const { return rows_; }
    // Whether rows() were rounded by a call with this key, and then all of them.
    bool holds(const products::rounding_key & key) const { return rounded_ == key; }
    void note_rounded(const products::rounding_key & key) { rounded_ = key; }
    const products::weight_panel & of_thread(int thread) const { return panels_[static_cast<size_t>(thread)]; }

  private:
    cpu_base::scratch_block block_;
    products::rounded_rows rows_;
    products::rounding_key rounded_;
    std::vector<products::weight_panel> panels_;
};

}  // namespace tmx
