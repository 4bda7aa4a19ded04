#include "runtime/attention_tap.h"

#include <ggml-backend.h>
#include <ggml.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <stdexcept>

#include "runtime/failure.h"

namespace tmx {
namespace {

constexpr char k_cache_name[] = "cache_k_l";

// Of a FLASH_ATTN_EXT node; < 0: its keys are not one layer's cache.
int32_t layer_of(const ggml_tensor * node) {
    const ggml_tensor * keys = node->src[1]->view_src;
    constexpr size_t k_prefix = sizeof(k_cache_name) - 1;
    if (keys == nullptr || std::strncmp(keys->name, k_cache_name, k_prefix) != 0) {
        return -1;
    }
    int32_t layer = -1;
    std::from_chars(keys->name + k_prefix, keys->name + std::strlen(keys->name), layer);
    return layer;
}

// Axis 0 is contiguous: dimensions; axis 1 rows, axis 2 heads. As [row, head, dimension], of rows [begin, begin + n).
std::vector<float> rows_of(const ggml_tensor * tensor, int64_t begin, int64_t n) {
    const int64_t d = tensor->ne[0];
    std::vector<float> rows(static_cast<size_t>(n * tensor->ne[2] * d));
    float * out = rows.data();
    for (int64_t row = begin; row < begin + n; ++row) {
        for (int64_t head = 0; head < tensor->ne[2]; ++head) {
            const auto at = static_cast<size_t>(row) * tensor->nb[1] + static_cast<size_t>(head) * tensor->nb[2];
            const char * from = static_cast<const char *>(tensor->data) + at;
            if (tensor->type == GGML_TYPE_F16) {
                ggml_fp16_to_fp32_row(reinterpret_cast<const ggml_fp16_t *>(from), out, d);
            } else {
                std::memcpy(out, from, static_cast<size_t>(d) * sizeof(float));
            }
            out += d;
        }
    }
    return rows;
}

void check(const ggml_tensor * node, int64_t row_end) {
    const ggml_tensor * q = node->src[0];
    const ggml_tensor * k = node->src[1];
    const ggml_tensor * v = node->src[2];
    for (const ggml_tensor * each : {q, k, v}) {
        if (each->buffer == nullptr || !ggml_backend_buffer_is_host(each->buffer)) {
            throw std::runtime_error("attention is not computed in host memory");
        }
    }
    if (q->type != GGML_TYPE_F32 || k->type != GGML_TYPE_F16 || v->type != GGML_TYPE_F16) {
        throw std::runtime_error("the cache is not f16");
    }
    if (q->ne[3] != 1 || k->ne[3] != 1 || k->ne[1] < row_end || v->ne[1] != k->ne[1]) {
        throw std::runtime_error("the cache is not one sequence's, from its first cell on");
    }
    float softcap = 0;
    std::memcpy(&softcap, reinterpret_cast<const float *>(node->op_params) + 2, sizeof softcap);
    if (node->src[4] != nullptr || softcap != 0) {
        throw std::runtime_error("the model has sink logits or a softcap, which are not captured");
    }
}

}  // namespace

attention_tap::attention_tap(std::vector<int32_t> layers, std::function<void(const attention_inputs &)> take)
    : layers_(std::move(layers)), n_rows_(layers_.size()), take_(std::move(take)) {}

size_t attention_tap::number_of(const ggml_tensor * node) const {
    if (!listens_ || !problem_.empty() || node->op != GGML_OP_FLASH_ATTN_EXT) {
        return layers_.size();
    }
    return static_cast<size_t>(std::find(layers_.begin(), layers_.end(), layer_of(node)) - layers_.begin());
}

void attention_tap::take(const ggml_tensor * node) {
    const size_t number = number_of(node);
    const ggml_tensor * q = node->src[0];
    attention_inputs seen;
    seen.layer = layers_[number];
    seen.row_begin = n_rows_[number];
    seen.n_rows = q->ne[1];
    check(node, seen.row_begin + seen.n_rows);
    seen.n_head = q->ne[2];
    seen.n_head_kv = node->src[1]->ne[2];
    seen.d_qk = q->ne[0];
    seen.d_v = node->src[2]->ne[0];
    std::memcpy(&seen.scale, node->op_params, sizeof seen.scale);
    seen.q = rows_of(q, 0, seen.n_rows);
    seen.k = rows_of(node->src[1], seen.row_begin, seen.n_rows);
    seen.v = rows_of(node->src[2], seen.row_begin, seen.n_rows);
    n_rows_[number] += seen.n_rows;
    take_(seen);
}

bool attention_tap::on_node(ggml_tensor * node, bool ask, void * tap) {
    auto & self = *static_cast<attention_tap *>(tap);
    if (self.number_of(node) == self.layers_.size()) {
        return !ask;  // asked: no need to see it; else: go on
    }
    if (!ask) {
        try {  // no exception may cross ggml
            self.take(node);
        } catch (const std::exception & problem) {
            self.problem_ = problem.what();
        }
    }
    return true;
}

void attention_tap::finish(int64_t n_rows) {
    listens_ = false;
    if (!problem_.empty()) {
        throw failure(problem_);
    }
    for (size_t i = 0; i < layers_.size(); ++i) {
        if (n_rows_[i] != n_rows) {
            throw failure("layer " + std::to_string(layers_[i]) +
                          " has no attention over its own cache that could be seen: " + std::to_string(n_rows_[i]) +
                          " of " + std::to_string(n_rows) + " rows were");
        }
    }
}

}  // namespace tmx
