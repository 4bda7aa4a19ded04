#include "glue/fattn_view.h"

#include <cmath>
#include <cstring>
#include <string_view>

#include "trianglemix/kernel_features.h"

namespace tmx {
namespace {

std::optional<dtype> kv_type(ggml_type type) {
    switch (type) {
        case GGML_TYPE_F32:
            return dtype::f32;
        case GGML_TYPE_F16:
            return dtype::f16;
        case GGML_TYPE_BF16:
            return dtype::bf16;
        case GGML_TYPE_Q8_0:
            return dtype::q8_0;
        case GGML_TYPE_Q4_0:
            return dtype::q4_0;
        default:
            return std::nullopt;
    }
}

// Element stride of an axis. REQUIRES whole_elements(t).
int64_t stride(const ggml_tensor * t, int axis) {
    const auto type_bytes = static_cast<int64_t>(ggml_type_size(t->type));
    return static_cast<int64_t>(t->nb[axis]) / type_bytes * ggml_blck_size(t->type);
}

bool whole_elements(const ggml_tensor * t) {
    const size_t type_bytes = ggml_type_size(t->type);
    return t->nb[0] == type_bytes && t->nb[1] % type_bytes == 0 && t->nb[2] % type_bytes == 0 &&
           t->nb[3] % type_bytes == 0;
}

struct fattn_params {
    float scale = 0;
    float max_bias = 0;
    float logit_softcap = 0;
};

fattn_params read_params(const ggml_tensor * op) {
    fattn_params params;
    static_assert(sizeof(params) <= sizeof(op->op_params));
    std::memcpy(&params, op->op_params, sizeof(params));
    return params;
}

// What a node asks of the kernels. REQUIRES kv_type() knows its keys' and values' types.
attention_needs needs_of(const ggml_tensor * op) {
    const ggml_tensor * q = op->src[0];
    const ggml_tensor * k = op->src[1];
    const ggml_tensor * v = op->src[2];
    const fattn_params params = read_params(op);
    return {
        .k_type = *kv_type(k->type),
        .v_type = *kv_type(v->type),
        .d_qk = k->ne[0],
        .d_v = v->ne[0],
        .n_head = q->ne[2],
        .n_head_kv = k->ne[2],
        .n_batch = q->ne[3],
        .n_q = q->ne[1],
        .n_kv = k->ne[1],
        .logit_softcap = params.logit_softcap > 0,
        .sink_logit = op->src[4] != nullptr,
        .alibi_slope = params.max_bias > 0,
        .masked_segments = op->src[3] != nullptr,  // any row may turn out to be in no causal run
    };
}

decline_reason reason_of(attention_feature feature) {
    switch (feature) {
        case attention_feature::types:
            return decline_reason::types;
        case attention_feature::dims:
            return decline_reason::dims;
        case attention_feature::heads:
        case attention_feature::sizes:
            return decline_reason::heads;
        case attention_feature::masked_segments:
            return decline_reason::mask;
        case attention_feature::logit_softcap:
        case attention_feature::sink_logit:
        case attention_feature::alibi_slope:
            return decline_reason::extras;
    }
    return decline_reason::extras;
}

bool good_mask(const ggml_tensor * mask, const ggml_tensor * q, const ggml_tensor * k) {
    return mask->type == GGML_TYPE_F16 && whole_elements(mask) && mask->ne[0] >= k->ne[1] && mask->ne[1] >= q->ne[1] &&
           (mask->ne[2] == 1 || mask->ne[2] == q->ne[2]) && (mask->ne[3] == 1 || mask->ne[3] == q->ne[3]);
}

// Press et al.: head h of n has slope 2^(-max_bias * (h + 1) / n) when n is a power of two; for other n the first p
// heads (p the power of two below) take p's slopes, and the others every second one of 2p's.
std::vector<float> alibi_slopes(int64_t n_head, float max_bias) {
    int64_t n_whole = 1;
    while (n_whole * 2 <= n_head) {
        n_whole *= 2;
    }
    const float step = std::pow(2.0f, -max_bias / static_cast<float>(n_whole));
    const float half_step = std::pow(2.0f, -max_bias / 2.0f / static_cast<float>(n_whole));
    std::vector<float> slopes;
    for (int64_t h = 0; h < n_head; ++h) {
        slopes.push_back(h < n_whole ? std::pow(step, static_cast<float>(h + 1))
                                     : std::pow(half_step, static_cast<float>(2 * (h - n_whole) + 1)));
    }
    return slopes;
}

}  // namespace

std::optional<decline_reason> why_declined(const ggml_tensor * op, int64_t min_rows) {
    const ggml_tensor * q = op->src[0];
    const ggml_tensor * k = op->src[1];
    const ggml_tensor * v = op->src[2];
    const ggml_tensor * mask = op->src[3];
    const ggml_tensor * sink_logit = op->src[4];
    if (q->ne[1] < min_rows) {
        return decline_reason::rows;
    }
    if (q->type != GGML_TYPE_F32 || op->type != GGML_TYPE_F32 || !kv_type(k->type) || !kv_type(v->type)) {
        return decline_reason::types;
    }
    if (q->ne[0] != k->ne[0] || op->ne[0] != v->ne[0]) {
        return decline_reason::dims;
    }
    if (const auto mismatch = first_mismatch(k_cpu_features, needs_of(op))) {
        return reason_of(mismatch->what);
    }
    // Cells are 32-bit here.
    if (k->ne[1] < 1 || k->ne[1] > INT32_MAX || v->ne[2] != k->ne[2] || v->ne[1] != k->ne[1] || k->ne[3] != q->ne[3] ||
        v->ne[3] != q->ne[3]) {
        return decline_reason::heads;
    }
    if (!whole_elements(q) || !whole_elements(k) || !whole_elements(v) || !whole_elements(op)) {
        return decline_reason::layout;
    }
    const fattn_params params = read_params(op);
    if (mask != nullptr ? !good_mask(mask, q, k) : params.max_bias > 0) {
        return decline_reason::mask;
    }
    if (!(params.logit_softcap >= 0) ||
        (sink_logit != nullptr &&
         (sink_logit->type != GGML_TYPE_F32 || sink_logit->ne[0] != q->ne[2] || !ggml_is_contiguous(sink_logit)))) {
        return decline_reason::extras;
    }
    return std::nullopt;
}

bool softmax_without_flash(const ggml_tensor * op, int64_t min_rows) {
    return op->op == GGML_OP_SOFT_MAX && op->src[1] != nullptr && op->ne[1] >= min_rows &&
           std::string_view(op->name).starts_with("kq_soft_max");
}

fattn_view::fattn_view(const ggml_tensor * op) {
    const ggml_tensor * q = op->src[0];
    const ggml_tensor * k = op->src[1];
    const ggml_tensor * v = op->src[2];
    const ggml_tensor * mask = op->src[3];
    const ggml_tensor * sink_logit = op->src[4];
    const fattn_params params = read_params(op);

    args.q = static_cast<const float *>(q->data);
    args.k = k->data;
    args.v = v->data;
    args.out = static_cast<float *>(op->data);
    args.sink_logit = sink_logit != nullptr ? static_cast<const float *>(sink_logit->data) : nullptr;
    args.k_type = *kv_type(k->type);
    args.v_type = *kv_type(v->type);
    args.n_batch = q->ne[3];
    args.n_head = q->ne[2];
    args.n_head_kv = k->ne[2];
    args.n_q = q->ne[1];
    args.n_kv = k->ne[1];
    args.d_qk = k->ne[0];
    args.d_v = v->ne[0];
    args.q_stride_batch = stride(q, 3);
    args.q_stride_head = stride(q, 2);
    args.q_stride_row = stride(q, 1);
    args.k_stride_batch = stride(k, 3);
    args.k_stride_head = stride(k, 2);
    args.k_stride_row = stride(k, 1);
    args.v_stride_batch = stride(v, 3);
    args.v_stride_head = stride(v, 2);
    args.v_stride_row = stride(v, 1);
    args.out_stride_batch = stride(op, 3);
    args.out_stride_row = stride(op, 2);
    args.out_stride_head = stride(op, 1);
    args.scale = params.scale;
    args.logit_softcap = params.logit_softcap;
    if (params.max_bias > 0) {
        alibi_slope_ = alibi_slopes(args.n_head, params.max_bias);
        args.alibi_slope = alibi_slope_.data();
    }
    has_mask = mask != nullptr;
    if (!has_mask) {
        visible_row_.assign(static_cast<size_t>(args.n_kv), 0);
        args.mask = visible_row_.data();
        return;
    }
    mask_per_head = mask->ne[2] > 1;
    args.mask = static_cast<const uint16_t *>(mask->data);
    args.mask_stride_batch = mask->ne[3] > 1 ? stride(mask, 3) : 0;
    args.mask_stride_head = mask->ne[2] > 1 ? stride(mask, 2) : 0;
    args.mask_stride_row = stride(mask, 1);
}

std::optional<mask_reason> without_runs(const fattn_view & fattn, int32_t layer) {
    if (!fattn.has_mask) {
        return mask_reason::no_mask;
    }
    if (layer < 0) {
        return mask_reason::no_layer;
    }
    return fattn.mask_per_head ? std::optional(mask_reason::mask_per_head) : std::nullopt;
}

}  // namespace tmx
