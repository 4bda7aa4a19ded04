// The memory behind a product_context: one aligned block, grown on demand and kept between calls.
#pragma once

#include <cstdlib>
#include <memory>
#include <vector>

#include "products/kernel.h"

namespace tmx {

struct product_context::scratch {
    // Room for the rounded rows of a call and a panel for each of n_contexts threads. Throws std::bad_alloc; then the
    // scratch is as it was.
    void reserve(const product_args & args, const products::steps & steps, bool integers, int n_contexts);

    const products::rounded_rows & rows() const { return rows_; }
    const products::weight_panel & of_thread(int thread) const { return panels_[static_cast<size_t>(thread)]; }

  private:
    struct free_memory {
        void operator()(void * p) const noexcept { std::free(p); }
    };
    std::unique_ptr<void, free_memory> block_;
    size_t block_bytes_ = 0;
    products::rounded_rows rows_;
    std::vector<products::weight_panel> panels_;
};

}  // namespace tmx
