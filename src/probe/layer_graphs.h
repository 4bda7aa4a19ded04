// probe/layer_graphs.h -- everything of a transformer layer but attention, forward and backward, as ggml graphs.
//
// These parts treat every row (token) by itself, so they run over blocks of rows and need memory for one block.
// docs/profile.md writes out the formulas:
//   before    x -> q, k, v            norm, products, biases, norms of queries and keys, rotary embedding
//   after     x, a -> x'              output product, residual, norm, feed-forward, residual; a = attention's output
//   after'    x, a, dx' -> da, dy     dy: what reaches x through the residual
//   before'   x, dq, dk, dv, dy -> dx
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "probe/layer_weights.h"

namespace tmx {

// A graph over a fixed number of rows. Tensors are f32 and have all rows of the block; `run` takes and gives rows of
// whole arrays, and fills the rest of the last block with zeros.
class row_graph {
  public:
    explicit row_graph(int64_t n_rows);

    struct array {
        ggml_tensor * tensor;
        int64_t row_elems;  // elements of a row, whatever dimensions it has
    };

    ggml_context * context() const { return context_.get(); }
    ggml_tensor * input(int64_t row_elems);  // [row_elems, n_rows]
    ggml_tensor * positions();               // [n_rows] i32: filled with each row's position
    void output(ggml_tensor * tensor);       // in the order in which `run` gives them
    void finish(ggml_backend_t backend);     // allocates. ERRORS failure: no memory, or an operation it lacks
    int64_t n_rows() const { return n_rows_; }

    // Rows [begin, begin + count) of each array; inputs and outputs in the order they were declared.
    // ERRORS failure: the backend could not compute.
    void run(int64_t begin, int64_t count, std::span<const float * const> in, std::span<float * const> out);

  private:
    int64_t n_rows_;
    ggml_context_ptr context_;
    ggml_gallocr_holder allocator_;
    ggml_cgraph * graph_ = nullptr;
    ggml_backend_t backend_ = nullptr;
    std::vector<array> inputs_;
    std::vector<array> outputs_;
    ggml_tensor * positions_ = nullptr;
    std::vector<int32_t> position_values_;
    std::vector<float> padded_;
};

// The four graphs over one layer_weights. REQUIRES shape and weights to outlive it.
class layer_graphs {
  public:
    layer_graphs(const probe_shape & shape, const layer_weights & weights, ggml_backend_t backend,
                 int64_t rows_per_block);

    int64_t n_rows() const { return before_.n_rows(); }  // of a block

    // Whole arrays of n rows: x, x' [n, n_embd]; q, a [n, n_head, d_head]; k, v [n, n_head_kv, d_head].
    void before(int64_t n, const float * x, float * q, float * k, float * v);
    void after(int64_t n, const float * x, const float * a, float * x_next);  // x_next may be x
    void after_back(int64_t n, const float * x, const float * a, const float * dx_next, float * da, float * dy);
    void before_back(int64_t n, const float * x, const float * dq, const float * dk, const float * dv, const float * dy,
                     float * dx);

  private:
    const probe_shape & shape_;
    const layer_weights & weights_;
    row_graph before_, after_, after_back_, before_back_;

    ggml_tensor * rope(ggml_context * context, ggml_tensor * x, ggml_tensor * positions, bool backward) const;
    ggml_tensor * norm(ggml_context * context, ggml_tensor * x, ggml_tensor * weight) const;
    ggml_tensor * norm_back(ggml_context * context, ggml_tensor * x, ggml_tensor * weight, ggml_tensor * dy) const;
    ggml_tensor * heads(ggml_context * context, ggml_tensor * h, const weight_matrix & weight, ggml_tensor * bias,
                        int64_t n_head) const;
    void build_before(ggml_backend_t backend);
    void build_after(ggml_backend_t backend);
    void build_after_back(ggml_backend_t backend);
    void build_before_back(ggml_backend_t backend);
};

}  // namespace tmx
