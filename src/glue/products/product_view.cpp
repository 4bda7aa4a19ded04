#include "glue/products/product_view.h"

#include "glue/backend_common.h"

namespace tmx {
namespace {

// Whether a stride of so many bytes steps over rows of `t`, by whole elements.
bool steps_over_rows(const ggml_tensor * t, size_t stride) {
    return stride % ggml_type_size(t->type) == 0 && stride >= ggml_row_size(t->type, t->ne[0]);
}

bool rows_of_elements(const ggml_tensor * t) {
    return t->nb[0] == ggml_type_size(t->type) && steps_over_rows(t, t->nb[1]);
}

// Rows that share weights; of a mixture's product those of an expert, on average.
int64_t rows_of_weights(const ggml_tensor * op) {
    return op->op == GGML_OP_MUL_MAT_ID ? ggml_nelements(op->src[2]) / op->src[0]->ne[2] : op->src[1]->ne[1];
}

// How many of them a product needs where a MUL_MAT needs `min_rows`. The host multiplies a mixture's one by one where
// weights come in blocks of 32, so fewer pay.
int64_t least_rows(const ggml_tensor * op, int64_t min_rows) {
    const bool one_by_one = op->op == GGML_OP_MUL_MAT_ID && ggml_blck_size(op->src[0]->type) == 32;
    return one_by_one ? min_rows / 4 : min_rows;
}

// Of a mixture's product: a token's slots share a row or have one each, and the strides between tokens fit, too.
bool experts_fit(const ggml_tensor * op) {
    const ggml_tensor * rows = op->src[1];
    const ggml_tensor * ids = op->src[2];
    return (rows->ne[1] == 1 || rows->ne[1] == ids->ne[0]) && rows_of_elements(ids) &&
           steps_over_rows(rows, rows->nb[2]) && steps_over_rows(op, op->nb[2]);
}

}  // namespace

std::optional<weight_type> product_weights(ggml_type type) {
    switch (type) {
        case GGML_TYPE_Q8_0:
            return weight_type::q8_0;
        case GGML_TYPE_Q4_0:
            return weight_type::q4_0;
        case GGML_TYPE_Q4_1:
            return weight_type::q4_1;
        case GGML_TYPE_Q5_0:
            return weight_type::q5_0;
        case GGML_TYPE_Q5_1:
            return weight_type::q5_1;
        case GGML_TYPE_Q4_K:
            return weight_type::q4_k;
        case GGML_TYPE_Q5_K:
            return weight_type::q5_k;
        case GGML_TYPE_Q6_K:
            return weight_type::q6_k;
        case GGML_TYPE_F32:
            return weight_type::f32;
        case GGML_TYPE_F16:
            return weight_type::f16;
        case GGML_TYPE_BF16:
            return weight_type::bf16;
        default:
            return std::nullopt;
    }
}

bool is_product(const ggml_tensor * op) {
    return op->op == GGML_OP_MUL_MAT || op->op == GGML_OP_MUL_MAT_ID;
}

std::optional<product_decline> why_product_declined(const ggml_tensor * op, const product_rules & rules) {
    const auto type = product_weights(op->src[0]->type);
    if (!type || rules.of(*type).min_rows == k_no_products) {
        return product_decline::weights;
    }
    if (rows_of_weights(op) < least_rows(op, rules.of(*type).min_rows)) {
        return product_decline::rows;
    }
    return why_product_impossible(op);
}

std::optional<product_decline> why_product_impossible(const ggml_tensor * op) {
    const ggml_tensor * weights = op->src[0];
    const ggml_tensor * rows = op->src[1];
    if (!product_weights(weights->type)) {
        return product_decline::weights;
    }
    if (weights->op != GGML_OP_NONE) {
        return product_decline::computed;
    }
    if (rows->type != GGML_TYPE_F32 || op->type != GGML_TYPE_F32) {
        return product_decline::types;
    }
    if (op->op_params[1] != GGML_HINT_NONE) {
        return product_decline::hint;
    }
    if (!rows_of_elements(weights) || !rows_of_elements(rows) || !rows_of_elements(op) ||
        (op->op == GGML_OP_MUL_MAT_ID && !experts_fit(op))) {
        return product_decline::layout;
    }
    if (!in_plain_memory(weights)) {
        return product_decline::memory;
    }
    return std::nullopt;
}

bool has_gpu() {
    for (size_t i = 0; i < ggml_backend_dev_count(); ++i) {
        const enum ggml_backend_dev_type type = ggml_backend_dev_type(ggml_backend_dev_get(i));
        if (type == GGML_BACKEND_DEVICE_TYPE_GPU || type == GGML_BACKEND_DEVICE_TYPE_IGPU) {
            return true;
        }
    }
    return false;
}

product_args product_of(const ggml_tensor * op, int64_t i2, int64_t i3) {
    const ggml_tensor * weights = op->src[0];
    const ggml_tensor * rows = op->src[1];
    const auto matrix = [](const ggml_tensor * t, int64_t index2, int64_t index3) {
        return static_cast<char *>(t->data) + index2 * static_cast<int64_t>(t->nb[2]) +
               index3 * static_cast<int64_t>(t->nb[3]);
    };
    product_args args;
    args.type = *product_weights(weights->type);
    // Several matrices of rows may share one of weights.
    args.weights = matrix(weights, i2 / (rows->ne[2] / weights->ne[2]), i3 / (rows->ne[3] / weights->ne[3]));
    args.rows = reinterpret_cast<const float *>(matrix(rows, i2, i3));
    args.out = reinterpret_cast<float *>(matrix(op, i2, i3));
    args.n_rows = rows->ne[1];
    args.n_columns = weights->ne[1];
    args.depth = weights->ne[0];
    args.weight_stride_bytes = static_cast<int64_t>(weights->nb[1]);
    args.row_stride = static_cast<int64_t>(rows->nb[1] / sizeof(float));
    args.out_stride = static_cast<int64_t>(op->nb[1] / sizeof(float));
    return args;
}

expert_product_args expert_product_of(const ggml_tensor * op) {
    const ggml_tensor * weights = op->src[0];
    const ggml_tensor * rows = op->src[1];
    const ggml_tensor * ids = op->src[2];
    const auto stride = [](size_t bytes) { return static_cast<int64_t>(bytes / sizeof(float)); };
    expert_product_args args;
    args.first.type = *product_weights(weights->type);
    args.first.weights = weights->data;
    args.first.rows = static_cast<const float *>(rows->data);
    args.first.out = static_cast<float *>(op->data);
    args.first.n_columns = weights->ne[1];
    args.first.depth = weights->ne[0];
    args.first.weight_stride_bytes = static_cast<int64_t>(weights->nb[1]);
    args.first.row_stride = stride(rows->nb[2]);
    args.first.out_stride = stride(op->nb[2]);
    args.expert_stride_bytes = static_cast<int64_t>(weights->nb[2]);
    args.row_slot_stride = rows->ne[1] == 1 ? 0 : stride(rows->nb[1]);
    args.out_slot_stride = stride(op->nb[1]);
    args.choice.experts = static_cast<const int32_t *>(ids->data);
    args.choice.token_stride = static_cast<int64_t>(ids->nb[1] / sizeof(int32_t));
    args.choice.n_tokens = ids->ne[1];
    args.choice.n_slots = ids->ne[0];
    args.choice.n_experts = weights->ne[2];
    return args;
}

}  // namespace tmx
