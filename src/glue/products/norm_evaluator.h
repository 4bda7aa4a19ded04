// Computes the norms of one instance of the CPU device's backend.
#pragma once

#include <string>

#include "backend/settings.h"
#include "backend/statistics.h"
#include "glue/abi.h"

namespace tmx {

class norm_evaluator {
  public:
    norm_evaluator(settings & current, statistics & counters) : settings_(current), statistics_(counters) {}

    void set_n_threads(int n_threads) { n_threads_ = n_threads > 0 ? n_threads : 1; }

    // Computes the node at `index`, and with it the next one where both can be computed as one. REQUIRES is_norm(node).
    ggml_status compute(const ggml_cgraph * graph, int index, int & n_computed);

  private:
    settings & settings_;
    statistics & statistics_;
    int n_threads_ = 1;
    std::string kernel_;
};

}  // namespace tmx
