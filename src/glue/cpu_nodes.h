// The nodes that the CPU's kernels compute, each handed to the evaluator of its kind: attention, matrix products,
// norms, lookups of embeddings, and the writes of keys that tell which cell holds which position.
#pragma once

#include "backend/host_context.h"
#include "glue/abi.h"
#include "glue/cpu_evaluator.h"
#include "glue/key_writes.h"
#include "glue/products/norm_evaluator.h"
#include "glue/products/product_evaluator.h"

namespace tmx {

class cpu_nodes {
  public:
    // `owner` must outlive this.
    explicit cpu_nodes(host_context & owner)
        : statistics_(owner.counters),
          attention_(owner.current, owner.counters),
          products_(owner.current, owner.counters),
          norms_(owner.current, owner.counters) {}

    void set_n_threads(int n_threads);

    // Computes the node at `index`, and counts in n_computed how many with it; one if nothing is said.
    // REQUIRES cpu_claims() took it, and it computes something.
    ggml_status compute(ggml_cgraph * graph, int index, int & n_computed);

    // Others have computed since the last node: what the products keep of their rows may be old.
    void forget_rows() { products_.forget_rows(); }

    cpu_evaluator & attention() { return attention_; }

  private:
    ggml_status compute_any(ggml_cgraph * graph, int index, int & n_computed);

    ggml_status look_up(const ggml_tensor * node);

    statistics & statistics_;
    cpu_evaluator attention_;
    key_writer writer_;
    product_evaluator products_;
    norm_evaluator norms_;
    int n_threads_ = 1;
};

}  // namespace tmx
