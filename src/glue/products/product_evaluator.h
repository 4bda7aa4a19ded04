// Computes the matrix products of one instance of the CPU device's backend.
#pragma once

#include <string>

#include "backend/settings.h"
#include "backend/statistics.h"
#include "glue/abi.h"
#include "trianglemix/expert_products.h"
#include "trianglemix/products.h"

namespace tmx {

class product_evaluator {
  public:
    product_evaluator(settings & current, statistics & counters) : settings_(current), statistics_(counters) {}

    void set_n_threads(int n_threads) { context_.n_threads = n_threads > 0 ? n_threads : 1; }

    // REQUIRES is_product(node).
    ggml_status compute(const ggml_tensor * node);

    // To be called before a graph is computed, and when something else than a product was: the next product's rows may
    // hold anything.
    void forget_rows() { rounded_ = nullptr; }

  private:
    status multiply(const ggml_tensor * node, product_arithmetic arithmetic);

    settings & settings_;
    statistics & statistics_;
    product_context context_;
    expert_context experts_;
    std::string kernel_;
    const ggml_tensor * rounded_ = nullptr;  // the rows of the product before, if they are known to be as they were
};

}  // namespace tmx
