#include "glue/graph_shape.h"

#include <algorithm>
#include <charconv>
#include <string_view>

#include "glue/graph_tensors.h"
#include "glue/rebuilt_inputs.h"

namespace tmx {
namespace {

// The number behind a prefix: 12 of "blk.12.attn_q.weight" for "blk."; -1 if there is none that can be a layer.
int32_t number_after(std::string_view name, std::string_view prefix) {
    constexpr int32_t k_beyond_any_layer = 1 << 16;
    int32_t number = -1;
    if (name.starts_with(prefix)) {
        std::from_chars(name.data() + prefix.size(), name.data() + name.size(), number);
    }
    return number < k_beyond_any_layer ? number : -1;
}

}  // namespace

model_shape shape_of_graph(const ggml_cgraph * graph) {
    model_shape shape;
    bool first = true;
    int32_t n_layer = 0;
    const auto merge = [&](int32_t & field, int64_t value) {
        field = first || field == value ? static_cast<int32_t>(value) : 0;
    };
    for_each_tensor(graph, [&](const ggml_tensor * tensor) {
        for (const char * prefix : {"blk.", "cache_k_l", "cache_r_l"}) {
            n_layer = std::max(n_layer, number_after(tensor->name, prefix) + 1);
        }
        if (tensor->op == GGML_OP_FLASH_ATTN_EXT && layer_of_keys(tensor->src[1]) >= 0) {
            merge(shape.n_head, tensor->src[0]->ne[2]);
            merge(shape.n_head_kv, tensor->src[1]->ne[2]);
            merge(shape.d_head, tensor->src[1]->ne[0]);
            first = false;
        }
    });
    shape.n_layer = shows_inputs(graph) ? n_layer : 0;
    return shape;
}

}  // namespace tmx
