// The memory behind a product_context: one aligned block, grown on demand and kept between calls.
#pragma once

#include <vector>

#include "cpu_base/scratch_block.h"
#include "products/kernel.h"

namespace tmx {

struct product_context::scratch {
    // Room for the rounded rows of a call and a panel for each of n_contexts threads. Throws std::bad_alloc; then the
    // scratch is as it was.
    void reserve(const product_args & args, const products::steps & steps, int n_contexts);

    const products::rounded_rows & rows() const { return rows_; }
    const products::weight_panel & of_thread(int thread) const { return panels_[static_cast<size_t>(thread)]; }

  private:
    cpu_base::scratch_block block_;
    products::rounded_rows rows_;
    std::vector<products::weight_panel> panels_;
};

}  // namespace tmx
