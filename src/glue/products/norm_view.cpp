#include "glue/products/norm_view.h"

#include <algorithm>

#include "glue/backend_common.h"

namespace tmx {
namespace {

// Of a MUL: the side that is the norm, and the other one.
const ggml_tensor * norm_side(const ggml_tensor * op) {
    return op->src[0]->op == GGML_OP_RMS_NORM ? op->src[0] : op->src[1];
}
const ggml_tensor * weights_side(const ggml_tensor * op) {
    return op->src[0]->op == GGML_OP_RMS_NORM ? op->src[1] : op->src[0];
}

// What a node reads its rows from.
const ggml_tensor * rows_source(const ggml_tensor * op) {
    return op->op == GGML_OP_RMS_NORM ? op->src[0] : norm_side(op);
}

bool steps_over_values(const ggml_tensor * t) {
    const auto whole = [](size_t stride) { return stride % sizeof(float) == 0; };
    return t->nb[0] == sizeof(float) && whole(t->nb[1]) && whole(t->nb[2]) && whole(t->nb[3]);
}

// How many tokens a norm is about: it may have many rows a token, those of heads, and then it mostly is a view of
// rows that have all heads.
int64_t tokens_of(const ggml_tensor * op) {
    const ggml_tensor * norm = op->op == GGML_OP_RMS_NORM ? op : norm_side(op);
    const ggml_tensor * rows = norm->src[0];
    const ggml_tensor * whole = rows->view_src != nullptr ? rows->view_src : rows;
    const int64_t outer = norm->ne[2] * norm->ne[3];
    return std::min(outer > 1 ? outer : norm->ne[1], ggml_nrows(whole));
}

std::array<int64_t, 3> strides_of(const ggml_tensor * t) {
    const auto values = [](size_t bytes) { return static_cast<int64_t>(bytes / sizeof(float)); };
    return {values(t->nb[1]), values(t->nb[2]), values(t->nb[3])};
}

// Whether what is computed at once may be: the result lies where the rows do, row by row, or nowhere near them.
bool rows_meet_only_themselves(const ggml_tensor * rows, const ggml_tensor * out) {
    const auto * rows_begin = static_cast<const char *>(rows->data);
    const auto * out_begin = static_cast<const char *>(out->data);
    const bool apart = rows_begin + ggml_nbytes(rows) <= out_begin || out_begin + ggml_nbytes(out) <= rows_begin;
    return apart || (rows_begin == out_begin && ggml_are_same_stride(rows, out));
}

}  // namespace

bool is_norm(const ggml_tensor * op) {
    if (op->op == GGML_OP_RMS_NORM) {
        return true;
    }
    if (op->op != GGML_OP_MUL || norm_side(op)->op != GGML_OP_RMS_NORM) {
        return false;
    }
    const ggml_tensor * weights = weights_side(op);
    return weights->op == GGML_OP_NONE && weights->ne[0] == op->ne[0] && ggml_nrows(weights) == 1 &&
           ggml_are_same_shape(norm_side(op), op);
}

std::optional<norm_decline> why_norm_declined(const ggml_tensor * op, int64_t min_rows) {
    if (tokens_of(op) < min_rows) {
        return norm_decline::rows;
    }
    return why_norm_impossible(op);
}

std::optional<norm_decline> why_norm_impossible(const ggml_tensor * op) {
    const ggml_tensor * rows = rows_source(op);
    const bool weighted = op->op == GGML_OP_MUL;
    if (rows->type != GGML_TYPE_F32 || op->type != GGML_TYPE_F32 ||
        (weighted && weights_side(op)->type != GGML_TYPE_F32)) {
        return norm_decline::types;
    }
    if (!steps_over_values(rows) || !steps_over_values(op) || (weighted && weights_side(op)->nb[0] != sizeof(float))) {
        return norm_decline::layout;
    }
    if (weighted && !in_plain_memory(weights_side(op))) {
        return norm_decline::memory;
    }
    return std::nullopt;
}

bool multiplied_next(const ggml_cgraph * graph, int index) {
    if (!ggml_can_fuse(graph, index, {GGML_OP_RMS_NORM, GGML_OP_MUL})) {
        return false;
    }
    const ggml_tensor * multiplied = graph->nodes[index + 1];
    return is_norm(multiplied) && !why_norm_impossible(multiplied) &&
           rows_meet_only_themselves(graph->nodes[index]->src[0], multiplied);
}

norm_args norm_of(const ggml_tensor * op) {
    const ggml_tensor * rows = rows_source(op);
    norm_args args;
    args.rows = static_cast<const float *>(rows->data);
    args.out = static_cast<float *>(op->data);
    args.normalise = op->op == GGML_OP_RMS_NORM;
    if (args.normalise) {
        args.epsilon = ggml_get_op_params_f32(op, 0);
    } else {
        args.weights = static_cast<const float *>(weights_side(op)->data);
    }
    args.width = op->ne[0];
    args.n_rows = {op->ne[1], op->ne[2], op->ne[3]};
    args.row_strides = strides_of(rows);
    args.out_strides = strides_of(op);
    return args;
}

norm_args norm_of(const ggml_tensor * norm, const ggml_tensor * multiplied) {
    norm_args args = norm_of(norm);
    args.weights = static_cast<const float *>(weights_side(multiplied)->data);
    args.out = static_cast<float *>(multiplied->data);
    args.out_strides = strides_of(multiplied);
    return args;
}

}  // namespace tmx
