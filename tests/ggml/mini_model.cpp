#include "mini_model.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "backend/host_context.h"
#include "ggml-cpp.h"

namespace tmx::test {
namespace {

std::set<const mini_model *> & living() {
    static std::set<const mini_model *> models;
    return models;
}

float noise(uint32_t user, uint32_t position, uint32_t layer, uint32_t index) {
    uint32_t x = user * 0x9e3779b1u ^ position * 0x85ebca77u ^ layer * 0xc2b2ae3du ^ index * 0x27d4eb2fu;
    x ^= x >> 15;
    x *= 0x2c1b3c6du;
    x ^= x >> 12;
    x *= 0x297a2d39u;
    x ^= x >> 15;
    return static_cast<float>(x) / 2147483648.0f - 1.0f;
}

ggml_tensor * named_weights(ggml_context * context, ggml_type type, int il, const char * name, int64_t n_in,
                            int64_t n_out) {
    ggml_tensor * made = ggml_new_tensor_2d(context, type, n_in, n_out);
    ggml_format_name(made, "blk.%d.%s.weight", il, name);
    return made;
}

ggml_tensor * named(ggml_tensor * tensor, const char * name) {
    ggml_set_name(tensor, name);
    ggml_set_input(tensor);
    return tensor;
}

}  // namespace

mini_model::mini_model(const mini_shape & shape, int64_t n_rows, int64_t n_cells, int64_t n_output,
                       ggml_backend_dev_t ours)
    : shape_(shape), n_rows_(n_rows), n_cells_(n_cells), n_output_(n_output) {
    if (ours != nullptr) {
        const bool announced = begun_context() != 0;
        context_ = announced ? begun_context() : begin_context();
        backends_.push_back(ggml_backend_dev_init(ours, nullptr));
        if (!announced && !end_context(context_).empty()) {
            context_ = 0;  // `ours` is of a module, which has its own
        }
        living().insert(this);
    }
    backends_.push_back(ggml_backend_init_by_type(GGML_BACKEND_DEVICE_TYPE_CPU, nullptr));
    sched_ = ggml_backend_sched_new(backends_.data(), nullptr, static_cast<int>(backends_.size()), 1024, false, false);
    build_cache();
    build_graph();
}

void mini_model::set_rows(int64_t n_rows) {
    n_rows_ = n_rows;
    ggml_backend_sched_reset(sched_);
    ggml_free(graph_context_);
    layers_.clear();
    build_graph();
}

mini_model::~mini_model() {
    living().erase(this);
    ggml_backend_sched_free(sched_);
    ggml_free(graph_context_);
    for (int cache = 0; cache < 2; ++cache) {
        ggml_backend_buffer_free(cache_buffer_[cache]);
        ggml_free(cache_context_[cache]);
    }
    for (ggml_backend_t backend : backends_) {
        ggml_backend_free(backend);
    }
}

std::vector<int64_t> mini_model::living_contexts() {
    std::vector<int64_t> contexts;
    for (const mini_model * model : living()) {
        contexts.push_back(model->context());
    }
    return contexts;
}

int mini_model::cache_of(int il) const {
    return shape_.second_cells > 0 ? il % 2 : 0;
}

void mini_model::build_cache() {
    const ggml_init_params params{size_t{4} << 20, nullptr, true};
    const int64_t d_kv = shape_.d_head * shape_.n_head_kv;
    for (ggml_context *& context : cache_context_) {
        context = ggml_init(params);
    }
    for (int il = 0; il < shape_.n_layer; ++il) {
        const int64_t n_cells = cache_of(il) == 1 ? shape_.second_cells : n_cells_;
        ggml_context * context = cache_context_[cache_of(il)];
        cache_k_.push_back(ggml_new_tensor_3d(context, shape_.kv_type, d_kv, n_cells, 1));
        cache_v_.push_back(ggml_new_tensor_3d(context, shape_.kv_type, d_kv, n_cells, 1));
        ggml_format_name(cache_k_.back(), shape_.named_caches ? "cache_k_l%d" : "keys_%d", il);
        ggml_format_name(cache_v_.back(), "cache_v_l%d", il);
        if (shape_.sinks) {
            sinks_.push_back(ggml_new_tensor_1d(context, GGML_TYPE_F32, shape_.n_head));
            ggml_format_name(sinks_.back(), "blk.%d.attn_sinks.weight", il);
        }
        if (shape_.project) {
            add_projections(context, il);
        }
        if (shape_.n_hidden > 0) {
            add_blocks(context, il);
        }
        for (ggml_tensor * cache : {cache_k_.back(), cache_v_.back()}) {
            streams_.push_back(ggml_view_2d(context, cache, d_kv, n_cells, cache->nb[1], 0));
        }
    }
    // A GPU's cache lies on the GPU; an ACCEL device's default buffer type is the CPU's.
    const ggml_backend_buffer_type_t type = ggml_backend_get_default_buffer_type(backends_.front());
    for (int cache = 0; cache < (shape_.second_cells > 0 ? 2 : 1); ++cache) {
        cache_buffer_[cache] = ggml_backend_alloc_ctx_tensors_from_buft(cache_context_[cache], type);
        ggml_backend_buffer_clear(cache_buffer_[cache], 0);
    }
    set_projections();
    set_blocks();
    for (size_t il = 0; il < sinks_.size(); ++il) {
        std::vector<float> values;
        for (int64_t head = 0; head < shape_.n_head; ++head) {
            values.push_back(2 + noise(7, 7, static_cast<uint32_t>(il), static_cast<uint32_t>(head)));
        }
        ggml_backend_tensor_set(sinks_[il], values.data(), 0, ggml_nbytes(sinks_[il]));
    }
}

void mini_model::add_projections(ggml_context * context, int il) {
    const int64_t d_q = shape_.d_head * shape_.n_head;
    const int64_t d_kv = shape_.d_head * shape_.n_head_kv;
    const auto weights = [&](const char * name, int64_t n_in, int64_t n_out) {
        return named_weights(context, GGML_TYPE_F32, il, name, n_in, n_out);
    };
    weights_.push_back({weights("attn_q", d_q, d_q), weights("attn_k", d_kv, d_kv), weights("attn_v", d_kv, d_kv),
                        weights("attn_output", d_q, 16)});
}

void mini_model::set_projections() {
    for (const projections & each : weights_) {
        for (ggml_tensor * weights : {each.q, each.k, each.v, each.out}) {
            std::vector<float> values(static_cast<size_t>(ggml_nelements(weights)));
            for (int64_t i = 0; i < std::min(weights->ne[0], weights->ne[1]); ++i) {
                values[static_cast<size_t>(i * (weights->ne[0] + 1))] = 1;
            }
            ggml_backend_tensor_set(weights, values.data(), 0, ggml_nbytes(weights));
        }
    }
}

void mini_model::add_blocks(ggml_context * context, int il) {
    const int64_t n = shape_.d_head * shape_.n_head;
    const auto weights = [&](const char * name, int64_t n_in, int64_t n_out) {
        return named_weights(context, GGML_TYPE_F16, il, name, n_in, n_out);
    };
    blocks_.push_back({weights("ffn_gate", n, shape_.n_hidden), weights("ffn_up", n, shape_.n_hidden),
                       weights("ffn_down", shape_.n_hidden, n)});
}

void mini_model::set_blocks() {
    for (const block_weights & each : blocks_) {
        uint32_t which = 0;
        for (ggml_tensor * weights : {each.gate, each.up, each.down}) {
            std::vector<ggml_fp16_t> values;
            for (int64_t i = 0; i < ggml_nelements(weights); ++i) {
                values.push_back(ggml_fp32_to_fp16(noise(3, which, 5, static_cast<uint32_t>(i)) /
                                                   std::sqrt(static_cast<float>(weights->ne[0]))));
            }
            ggml_backend_tensor_set(weights, values.data(), 0, ggml_nbytes(weights));
            ++which;
        }
    }
}

ggml_tensor * mini_model::block_behind(ggml_context * context, int il, ggml_tensor * attention) {
    const block_weights & weights = blocks_[static_cast<size_t>(il)];
    // As behind a norm: rows that only this block reads.
    ggml_tensor * begun = ggml_reshape_2d(context, attention, shape_.d_head * shape_.n_head, n_rows_);
    begun = ggml_scale(context, begun, 0.5f);
    ggml_tensor * rows = ggml_rms_norm(context, begun, 1e-6f);
    ggml_tensor * up = ggml_mul_mat(context, weights.up, rows);
    if (shape_.up_first) {
        ggml_build_forward_expand(graph_, up);
    }
    ggml_tensor * gate = ggml_mul_mat(context, weights.gate, rows);
    ggml_tensor * block = ggml_mul_mat(context, weights.down, ggml_swiglu_split(context, gate, up));
    block = shape_.add_rows ? ggml_add(context, block, begun) : block;
    block = ggml_scale(context, block, 1);
    ggml_set_output(block);
    ggml_build_forward_expand(graph_, block);
    return block;
}

void mini_model::build_graph() {
    const ggml_init_params params{size_t{4} << 20, nullptr, true};
    const int64_t d_kv = shape_.d_head * shape_.n_head_kv;
    ggml_context * ctx = graph_context_ = ggml_init(params);
    graph_ = ggml_new_graph(ctx);
    if (shape_.pos_per_row > 0) {
        positions_ = named(ggml_new_tensor_1d(ctx, GGML_TYPE_I32, n_rows_ * shape_.pos_per_row), "inp_pos");
        // Stands for RoPE: puts the positions into the graph.
        ggml_build_forward_expand(graph_, ggml_cast(ctx, positions_, GGML_TYPE_F32));
    }
    for (int cache = 0; cache < (shape_.second_cells > 0 ? 2 : 1); ++cache) {
        const int64_t n_cells = cache == 1 ? shape_.second_cells : n_cells_;
        cells_[cache] = named(ggml_new_tensor_1d(ctx, GGML_TYPE_I64, n_rows_), "attn_inp_k_idxs");
        mask_[cache] = named(ggml_new_tensor_4d(ctx, GGML_TYPE_F16, n_cells, n_rows_, 1, 1), "attn_inp_kq_mask");
    }
    if (shape_.output_ids) {
        out_ids_ = named(ggml_new_tensor_1d(ctx, GGML_TYPE_I32, n_output_), shape_.named_outputs ? "out_ids" : "");
    }
    for (int il = 0; il < shape_.n_layer; ++il) {
        layer l{};
        l.q = named(ggml_new_tensor_3d(ctx, GGML_TYPE_F32, shape_.d_head, shape_.n_head, n_rows_), "q");
        l.k = named(ggml_new_tensor_2d(ctx, GGML_TYPE_F32, d_kv, n_rows_), "k");
        l.v = named(ggml_new_tensor_2d(ctx, GGML_TYPE_F32, d_kv, n_rows_), "v");
        const auto at = static_cast<size_t>(il);
        ggml_tensor * q_in = l.q;
        ggml_tensor * k = l.k;
        ggml_tensor * v = l.v;
        if (shape_.project) {
            q_in =
                ggml_mul_mat(ctx, weights_[at].q, ggml_reshape_2d(ctx, q_in, shape_.d_head * shape_.n_head, n_rows_));
            q_in = ggml_reshape_3d(ctx, q_in, shape_.d_head, shape_.n_head, n_rows_);
            k = ggml_mul_mat(ctx, weights_[at].k, k);
            v = ggml_mul_mat(ctx, weights_[at].v, v);
        }
        if (shape_.rope) {
            k = ggml_reshape_3d(ctx, k, shape_.d_head, shape_.n_head_kv, n_rows_);
            k = ggml_rope(ctx, k, positions_, static_cast<int>(shape_.d_head), 0);
            k = ggml_reshape_2d(ctx, k, d_kv, n_rows_);
        }
        ggml_build_forward_expand(graph_, ggml_set_rows(ctx, cache_k_[at], k, cells_[cache_of(il)]));
        ggml_build_forward_expand(graph_, ggml_set_rows(ctx, cache_v_[at], v, cells_[cache_of(il)]));
        const auto keys = [&](ggml_tensor * cache) {
            ggml_tensor * view =
                ggml_permute(ctx,
                             ggml_view_4d(ctx, cache, shape_.d_head, shape_.n_head_kv, cache->ne[1], 1,
                                          ggml_row_size(cache->type, shape_.d_head), cache->nb[1], cache->nb[2], 0),
                             0, 2, 1, 3);
            return shape_.cast_keys ? ggml_cast(ctx, view, GGML_TYPE_F16) : view;
        };
        ggml_tensor * rotated =
            shape_.rope_queries ? ggml_rope(ctx, q_in, positions_, static_cast<int>(shape_.d_head), 0) : q_in;
        ggml_tensor * q = ggml_view_4d(ctx, rotated, shape_.d_head, shape_.n_head, n_rows_, 1, q_in->nb[1], q_in->nb[2],
                                       q_in->nb[2] * static_cast<size_t>(n_rows_), 0);
        l.out = ggml_flash_attn_ext(ctx, ggml_permute(ctx, q, 0, 2, 1, 3), keys(cache_k_[at]), keys(cache_v_[at]),
                                    mask_[cache_of(il)], 1.0f / std::sqrt(static_cast<float>(shape_.d_head)), 0.0f,
                                    shape_.softcap);
        if (shape_.sinks) {
            ggml_flash_attn_ext_add_sinks(l.out, sinks_[at]);
        }
        ggml_set_output(l.out);
        ggml_build_forward_expand(graph_, l.out);
        ggml_tensor * behind = l.out;
        if (shape_.project) {
            ggml_tensor * rows = ggml_reshape_2d(ctx, l.out, shape_.d_head * shape_.n_head, n_rows_);
            behind = ggml_mul_mat(ctx, weights_[at].out, rows);
            ggml_build_forward_expand(graph_, behind);
        }
        if (shape_.n_hidden > 0) {
            l.block = block_behind(ctx, il, l.out);
        }
        layers_.push_back(l);
        if (shape_.host_between) {
            compute_on_host(behind);
        }
    }
    if (out_ids_ != nullptr) {
        ggml_tensor * rows = ggml_reshape_2d(ctx, layers_.back().out, shape_.d_head * shape_.n_head, n_rows_);
        ggml_build_forward_expand(graph_, ggml_get_rows(ctx, rows, out_ids_));
    }
    if (!ggml_backend_sched_alloc_graph(sched_, graph_)) {
        ADD_FAILURE() << "no memory for the graph";
    }
}

// Stands for a feed-forward part kept on the CPU (-ot, --n-cpu-moe): nodes of many sizes, which
// take what memory is free.
void mini_model::compute_on_host(ggml_tensor * from) {
    for (const int64_t n : {n_rows_, n_rows_ * 2, ggml_nelements(from)}) {
        ggml_tensor * flat = ggml_view_1d(graph_context_, from, n, 0);
        ggml_tensor * scaled = ggml_scale(graph_context_, flat, 1e30f);
        ggml_backend_sched_set_tensor_backend(sched_, scaled, backends_.back());
        ggml_build_forward_expand(graph_, scaled);
    }
}

void mini_model::set_inputs(const fake_ubatch & ubatch, const std::vector<int32_t> & users,
                            const fake_ubatch * second) {
    EXPECT_EQ(ubatch.n_rows, n_rows_);
    EXPECT_EQ(ubatch.n_kv, n_cells_);
    std::vector<int32_t> positions;
    for (int section = 0; section < shape_.pos_per_row; ++section) {
        for (int64_t row = 0; row < n_rows_; ++row) {
            const int32_t place = section > 0 && row >= shape_.text_rows ? static_cast<int32_t>(row) + section : 0;
            positions.push_back(section == 3 ? 0 : ubatch.positions[static_cast<size_t>(row)] + place);
        }
    }
    if (positions_ != nullptr) {
        ggml_backend_tensor_set(positions_, positions.data(), 0, ggml_nbytes(positions_));
    }
    const fake_ubatch * by_cache[] = {&ubatch, second};
    for (int cache = 0; cache < 2 && by_cache[cache] != nullptr; ++cache) {
        const fake_ubatch & now = *by_cache[cache];
        ggml_backend_tensor_set(cells_[cache], now.own_cells.data(), 0, ggml_nbytes(cells_[cache]));
        ggml_backend_tensor_set(mask_[cache], now.mask.data(), 0, ggml_nbytes(mask_[cache]));
    }
    if (out_ids_ != nullptr && n_output_ > 0) {
        EXPECT_EQ(static_cast<int64_t>(ubatch.output_rows.size()), n_output_);
        ggml_backend_tensor_set(out_ids_, ubatch.output_rows.data(), 0, ggml_nbytes(out_ids_));
    }
    for (size_t il = 0; il < layers_.size(); ++il) {
        const layer & l = layers_[il];
        uint32_t which = 0;
        for (ggml_tensor * tensor : {l.q, l.k, l.v}) {
            const int64_t width = ggml_nelements(tensor) / n_rows_;
            std::vector<float> values;
            for (size_t row = 0; row < users.size(); ++row) {
                for (int64_t i = 0; i < width; ++i) {
                    values.push_back(2 * noise(static_cast<uint32_t>(users[row]),
                                               static_cast<uint32_t>(ubatch.positions[row]),
                                               static_cast<uint32_t>(il) * 3 + which, static_cast<uint32_t>(i)));
                }
            }
            ggml_backend_tensor_set(tensor, values.data(), 0, ggml_nbytes(tensor));
            ++which;
        }
    }
}

bool mini_model::run() {
    return ggml_backend_sched_graph_compute(sched_, graph_) == GGML_STATUS_SUCCESS;
}

mini_model::state mini_model::save(int64_t first, int64_t n) const {
    state saved;
    for (const ggml_tensor * stream : streams_) {
        saved.emplace_back(static_cast<size_t>(n) * stream->nb[1]);
        ggml_backend_tensor_get(stream, saved.back().data(), static_cast<size_t>(first) * stream->nb[1],
                                saved.back().size());
    }
    return saved;
}

void mini_model::restore(const state & saved, int64_t first, int64_t n) {
    for (size_t i = 0; i < streams_.size(); ++i) {
        const size_t row_bytes = streams_[i]->nb[1];
        ggml_backend_tensor_set(streams_[i], saved[i].data(), static_cast<size_t>(first) * row_bytes,
                                static_cast<size_t>(n) * row_bytes);
    }
}

bool mini_model::rewrite_keys() {
    ggml_context * ctx = ggml_init({size_t{1} << 20, nullptr, true});
    ggml_cgraph * graph = ggml_new_graph(ctx);
    for (ggml_tensor * cache : cache_k_) {
        ggml_build_forward_expand(graph, ggml_cpy(ctx, ggml_view_tensor(ctx, cache), cache));
    }
    const bool computed = ggml_backend_graph_compute(backends_.front(), graph) == GGML_STATUS_SUCCESS;
    ggml_free(ctx);
    return computed;
}

std::vector<float> mini_model::output(int il) const {
    const ggml_tensor * out = layers_[static_cast<size_t>(il)].out;
    std::vector<float> values(static_cast<size_t>(ggml_nelements(out)));
    ggml_backend_tensor_get(out, values.data(), 0, ggml_nbytes(out));
    return values;
}

std::vector<float> mini_model::block_output(int il) const {
    const ggml_tensor * out = layers_[static_cast<size_t>(il)].block;
    std::vector<float> values(static_cast<size_t>(ggml_nelements(out)));
    ggml_backend_tensor_get(out, values.data(), 0, ggml_nbytes(out));
    return values;
}

int mini_model::n_ours() const {
    return static_cast<int>(std::count_if(layers_.begin(), layers_.end(), [&](const layer & l) {
        return backends_.size() > 1 && ggml_backend_sched_get_tensor_backend(sched_, l.out) == backends_.front();
    }));
}

}  // namespace tmx::test
