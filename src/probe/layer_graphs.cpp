#include "probe/layer_graphs.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "runtime/failure.h"

namespace tmx {
namespace {

constexpr size_t k_most_nodes = 256;

ggml_tensor * add_bias(ggml_context * context, ggml_tensor * x, ggml_tensor * bias) {
    return bias == nullptr ? x : ggml_add(context, x, bias);
}

template <size_t n_in, size_t n_out>
void over_blocks(row_graph & graph, int64_t n, const std::array<const float *, n_in> & in,
                 const std::array<float *, n_out> & out) {
    for (int64_t begin = 0; begin < n; begin += graph.n_rows()) {
        graph.run(begin, std::min(graph.n_rows(), n - begin), in, out);
    }
}

}  // namespace

row_graph::row_graph(int64_t n_rows) : n_rows_(n_rows) {
    context_.reset(ggml_init(
        {ggml_tensor_overhead() * k_most_nodes + ggml_graph_overhead_custom(k_most_nodes, false), nullptr, true}));
    graph_ = ggml_new_graph_custom(context_.get(), k_most_nodes, false);
}

ggml_tensor * row_graph::input(int64_t row_elems) {
    ggml_tensor * tensor = ggml_new_tensor_2d(context_.get(), GGML_TYPE_F32, row_elems, n_rows_);
    ggml_set_input(tensor);
    inputs_.push_back({tensor, row_elems});
    return tensor;
}

ggml_tensor * row_graph::positions() {
    positions_ = ggml_new_tensor_1d(context_.get(), GGML_TYPE_I32, n_rows_);
    ggml_set_input(positions_);
    return positions_;
}

void row_graph::output(ggml_tensor * tensor) {
    ggml_set_output(tensor);
    ggml_build_forward_expand(graph_, tensor);
    outputs_.push_back({tensor, ggml_nelements(tensor) / n_rows_});
}

void row_graph::finish(ggml_backend_t backend) {
    backend_ = backend;
    for (int i = 0; i < ggml_graph_n_nodes(graph_); ++i) {
        const ggml_tensor * node = ggml_graph_node(graph_, i);
        if (!ggml_backend_supports_op(backend, node)) {
            throw failure(std::string("ggml's backend ") + ggml_backend_name(backend) + " cannot compute " +
                          ggml_op_desc(node) + ", which the probe needs: leave --device out to compute on the CPU");
        }
    }
    allocator_.reset(ggml_gallocr_new(ggml_backend_get_default_buffer_type(backend)));
    if (!ggml_gallocr_alloc_graph(allocator_.get(), graph_)) {
        throw failure("no memory for the activations of " + std::to_string(n_rows_) + " rows of a layer");
    }
}

void row_graph::run(int64_t begin, int64_t count, std::span<const float * const> in, std::span<float * const> out) {
    for (size_t i = 0; i < inputs_.size(); ++i) {
        const auto row = static_cast<size_t>(inputs_[i].row_elems);
        const float * rows = in[i] + static_cast<size_t>(begin) * row;
        const size_t n_elems = static_cast<size_t>(count) * row;
        ggml_backend_tensor_set(inputs_[i].tensor, rows, 0, n_elems * sizeof(float));
        if (count < n_rows_) {
            padded_.assign(static_cast<size_t>(n_rows_ - count) * row, 0.0F);
            ggml_backend_tensor_set(inputs_[i].tensor, padded_.data(), n_elems * sizeof(float),
                                    padded_.size() * sizeof(float));
        }
    }
    if (positions_ != nullptr) {
        position_values_.resize(static_cast<size_t>(n_rows_));
        for (int64_t i = 0; i < n_rows_; ++i) {
            position_values_[static_cast<size_t>(i)] = static_cast<int32_t>(begin + i);
        }
        ggml_backend_tensor_set(positions_, position_values_.data(), 0, position_values_.size() * sizeof(int32_t));
    }
    if (ggml_backend_graph_compute(backend_, graph_) != GGML_STATUS_SUCCESS) {
        throw failure(std::string("ggml's backend ") + ggml_backend_name(backend_) + " could not compute a layer");
    }
    for (size_t i = 0; i < outputs_.size(); ++i) {
        const auto row = static_cast<size_t>(outputs_[i].row_elems);
        ggml_backend_tensor_get(outputs_[i].tensor, out[i] + static_cast<size_t>(begin) * row, 0,
                                static_cast<size_t>(count) * row * sizeof(float));
    }
}

layer_graphs::layer_graphs(const probe_shape & shape, const layer_weights & weights, ggml_backend_t backend,
                           int64_t rows_per_block)
    : shape_(shape),
      weights_(weights),
      before_(rows_per_block),
      after_(rows_per_block),
      after_back_(rows_per_block),
      before_back_(rows_per_block) {
    build_before(backend);
    build_after(backend);
    build_after_back(backend);
    build_before_back(backend);
}

ggml_tensor * layer_graphs::rope(ggml_context * context, ggml_tensor * x, ggml_tensor * positions,
                                 bool backward) const {
    return (backward ? ggml_rope_ext_back : ggml_rope_ext)(
        context, x, positions, weights_.rope_factors, static_cast<int>(shape_.d_head), shape_.rope_mode,
        shape_.rope_n_ctx_orig, shape_.rope_base, shape_.rope_scale, shape_.rope_ext_factor, shape_.rope_attn_factor,
        shape_.rope_beta_fast, shape_.rope_beta_slow);
}

ggml_tensor * layer_graphs::norm(ggml_context * context, ggml_tensor * x, ggml_tensor * weight) const {
    return ggml_mul(context, ggml_rms_norm(context, x, shape_.rms_eps), weight);
}

// x: what was normalised; dy: derivative by norm(x) * weight.
ggml_tensor * layer_graphs::norm_back(ggml_context * context, ggml_tensor * x, ggml_tensor * weight,
                                      ggml_tensor * dy) const {
    return ggml_rms_norm_back(context, ggml_mul(context, dy, weight), x, shape_.rms_eps);
}

// [d_head, n_head, rows]
ggml_tensor * layer_graphs::heads(ggml_context * context, ggml_tensor * h, const weight_matrix & weight,
                                  ggml_tensor * bias, int64_t n_head) const {
    ggml_tensor * product = add_bias(context, ggml_mul_mat(context, weight.plain, h), bias);
    return ggml_reshape_3d(context, product, shape_.d_head, n_head, h->ne[1]);
}

void layer_graphs::build_before(ggml_backend_t backend) {
    ggml_context * c = before_.context();
    ggml_tensor * h = norm(c, before_.input(shape_.n_embd), weights_.attn_norm);
    ggml_tensor * positions = before_.positions();
    ggml_tensor * q = heads(c, h, weights_.q, weights_.q_bias, shape_.n_head);
    ggml_tensor * k = heads(c, h, weights_.k, weights_.k_bias, shape_.n_head_kv);
    if (weights_.q_norm != nullptr) {
        q = norm(c, q, weights_.q_norm);
        k = norm(c, k, weights_.k_norm);
    }
    before_.output(rope(c, q, positions, false));
    before_.output(rope(c, k, positions, false));
    before_.output(add_bias(c, ggml_mul_mat(c, weights_.v.plain, h), weights_.v_bias));
    before_.finish(backend);
}

void layer_graphs::build_after(ggml_backend_t backend) {
    ggml_context * c = after_.context();
    const layer_weights & w = weights_;
    ggml_tensor * x = after_.input(shape_.n_embd);
    ggml_tensor * a = after_.input(shape_.n_head * shape_.d_head);
    ggml_tensor * y = ggml_add(c, add_bias(c, ggml_mul_mat(c, w.o.plain, a), w.o_bias), x);
    ggml_tensor * f = norm(c, y, w.ffn_norm);
    ggml_tensor * gate = add_bias(c, ggml_mul_mat(c, w.gate.plain, f), w.gate_bias);
    ggml_tensor * up = add_bias(c, ggml_mul_mat(c, w.up.plain, f), w.up_bias);
    ggml_tensor * z = ggml_mul(c, ggml_silu(c, gate), up);
    after_.output(ggml_add(c, add_bias(c, ggml_mul_mat(c, w.down.plain, z), w.down_bias), y));
    after_.finish(backend);
}

void layer_graphs::build_after_back(ggml_backend_t backend) {
    ggml_context * c = after_back_.context();
    const layer_weights & w = weights_;
    ggml_tensor * x = after_back_.input(shape_.n_embd);
    ggml_tensor * a = after_back_.input(shape_.n_head * shape_.d_head);
    ggml_tensor * dx_next = after_back_.input(shape_.n_embd);
    // Forward again, up to what the derivative needs.
    ggml_tensor * y = ggml_add(c, add_bias(c, ggml_mul_mat(c, w.o.plain, a), w.o_bias), x);
    ggml_tensor * f = norm(c, y, w.ffn_norm);
    ggml_tensor * gate = add_bias(c, ggml_mul_mat(c, w.gate.plain, f), w.gate_bias);
    ggml_tensor * up = add_bias(c, ggml_mul_mat(c, w.up.plain, f), w.up_bias);
    // Backward.
    ggml_tensor * dz = ggml_mul_mat(c, w.down.transposed, dx_next);
    ggml_tensor * dup = ggml_mul(c, dz, ggml_silu(c, gate));
    ggml_tensor * dgate = ggml_silu_back(c, ggml_mul(c, dz, up), gate);
    ggml_tensor * df = ggml_add(c, ggml_mul_mat(c, w.gate.transposed, dgate), ggml_mul_mat(c, w.up.transposed, dup));
    ggml_tensor * dy = ggml_add(c, norm_back(c, y, w.ffn_norm, df), dx_next);
    after_back_.output(ggml_mul_mat(c, w.o.transposed, dy));
    after_back_.output(dy);
    after_back_.finish(backend);
}

void layer_graphs::build_before_back(ggml_backend_t backend) {
    ggml_context * c = before_back_.context();
    const layer_weights & w = weights_;
    const int64_t n_rows = before_back_.n_rows();
    const int64_t n_q = shape_.n_head * shape_.d_head;
    const int64_t n_kv = shape_.n_head_kv * shape_.d_head;
    ggml_tensor * x = before_back_.input(shape_.n_embd);
    ggml_tensor * dq = before_back_.input(n_q);
    ggml_tensor * dk = before_back_.input(n_kv);
    ggml_tensor * dv = before_back_.input(n_kv);
    ggml_tensor * dy = before_back_.input(shape_.n_embd);
    ggml_tensor * positions = before_back_.positions();
    dq = rope(c, ggml_reshape_3d(c, dq, shape_.d_head, shape_.n_head, n_rows), positions, true);
    dk = rope(c, ggml_reshape_3d(c, dk, shape_.d_head, shape_.n_head_kv, n_rows), positions, true);
    if (w.q_norm != nullptr) {
        ggml_tensor * h = norm(c, x, w.attn_norm);
        dq = norm_back(c, heads(c, h, w.q, w.q_bias, shape_.n_head), w.q_norm, dq);
        dk = norm_back(c, heads(c, h, w.k, w.k_bias, shape_.n_head_kv), w.k_norm, dk);
    }
    ggml_tensor * dh = ggml_add(c, ggml_mul_mat(c, w.q.transposed, ggml_reshape_2d(c, dq, n_q, n_rows)),
                                ggml_mul_mat(c, w.k.transposed, ggml_reshape_2d(c, dk, n_kv, n_rows)));
    dh = ggml_add(c, dh, ggml_mul_mat(c, w.v.transposed, dv));
    before_back_.output(ggml_add(c, norm_back(c, x, w.attn_norm, dh), dy));
    before_back_.finish(backend);
}

void layer_graphs::before(int64_t n, const float * x, float * q, float * k, float * v) {
    over_blocks<1, 3>(before_, n, {x}, {q, k, v});
}

void layer_graphs::after(int64_t n, const float * x, const float * a, float * x_next) {
    over_blocks<2, 1>(after_, n, {x, a}, {x_next});
}

void layer_graphs::after_back(int64_t n, const float * x, const float * a, const float * dx_next, float * da,
                              float * dy) {
    over_blocks<3, 2>(after_back_, n, {x, a, dx_next}, {da, dy});
}

void layer_graphs::before_back(int64_t n, const float * x, const float * dq, const float * dk, const float * dv,
                               const float * dy, float * dx) {
    over_blocks<5, 1>(before_back_, n, {x, dq, dk, dv, dy}, {dx});
}

}  // namespace tmx
