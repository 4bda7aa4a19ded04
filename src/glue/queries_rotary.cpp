#include "glue/queries_rotary.h"

namespace tmx {
namespace {

// Whether an operation leaves a head's dimensions where they are, and their sizes alike.
bool keeps_dimensions(ggml_op op) {
    switch (op) {
        case GGML_OP_VIEW:
        case GGML_OP_RESHAPE:
        case GGML_OP_PERMUTE:
        case GGML_OP_CONT:
        case GGML_OP_CPY:
        case GGML_OP_DUP:
        case GGML_OP_SCALE:
            return true;
        default:
            return false;
    }
}

rotary_pairs pairs_of(int32_t mode) {
    switch (mode) {
        case GGML_ROPE_TYPE_NORMAL:
            return rotary_pairs::neighbours;
        case GGML_ROPE_TYPE_NEOX:
        case GGML_ROPE_TYPE_MROPE:  // of sections, each slower than the one before it; text has one position for all
        case GGML_ROPE_TYPE_IMROPE:
            return rotary_pairs::halves;
        default:
            return rotary_pairs::unknown;
    }
}

rotary_layout layout_of(const ggml_tensor * rope) {
    const int32_t n_dims = rope->op_params[1];
    if (n_dims < 2 || n_dims > rope->ne[0] || n_dims % 2 != 0) {
        return {};
    }
    return {pairs_of(rope->op_params[2]), n_dims};
}

}  // namespace

layer_rotary rotary_of_queries(const ggml_tensor * attention) {
    const ggml_tensor * queries = attention->src[0];
    const ggml_tensor * keys = attention->src[1];
    const ggml_tensor * t = queries;
    while (t != nullptr && keeps_dimensions(t->op)) {
        t = t->src[0];
    }
    if (t != nullptr && t->op == GGML_OP_ROPE && t->ne[0] == queries->ne[0]) {
        return {layout_of(t), "rotary_unknown"};
    }
    // Before it quantises keys llama.cpp spreads outliers over a head's dimensions, by a product with one matrix for
    // queries and keys.
    const bool spread =
        t != nullptr && t->op == GGML_OP_MUL_MAT && ggml_is_quantized(keys->type) && queries->ne[0] % 64 == 0;
    return {{}, spread ? "rotated_cache" : "rotary_unknown"};
}

}  // namespace tmx
