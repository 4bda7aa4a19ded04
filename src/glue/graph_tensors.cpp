#include "glue/graph_tensors.h"

#include <algorithm>
#include <charconv>
#include <string_view>

namespace tmx {
namespace {

// N if the tensor is named cache_k_l<N>, else -1.
int32_t layer_of_cache(const ggml_tensor * cache) {
    constexpr std::string_view k_prefix = "cache_k_l";
    const std::string_view name(cache->name);
    if (!name.starts_with(k_prefix)) {
        return -1;
    }
    const char * const end = name.data() + name.size();
    int32_t layer = -1;
    const auto [stop, error] = std::from_chars(name.data() + k_prefix.size(), end, layer);
    return error == std::errc{} && stop == end ? std::max(layer, -1) : -1;
}

}  // namespace

ggml_cgraph nodes_of(ggml_cgraph * graph, int begin, int end) {
    ggml_cgraph nodes{};
    nodes.n_nodes = end - begin;
    nodes.nodes = graph->nodes + begin;
    nodes.use_counts = graph->use_counts;
    nodes.visited_hash_set = graph->visited_hash_set;
    nodes.order = graph->order;
    return nodes;
}

const ggml_tensor * cached_keys(const ggml_tensor * k) {
    while (k != nullptr) {
        if (k->view_src != nullptr) {
            if (layer_of_cache(k->view_src) >= 0) {
                return k;
            }
            k = k->view_src;
        } else if (k->op == GGML_OP_CPY || k->op == GGML_OP_CONT || k->op == GGML_OP_DUP) {
            k = k->src[0];
        } else {
            return nullptr;
        }
    }
    return nullptr;
}

const ggml_tensor * key_cache(const ggml_tensor * k) {
    const ggml_tensor * cached = cached_keys(k);
    return cached != nullptr ? cached->view_src : nullptr;
}

int32_t layer_of_keys(const ggml_tensor * k) {
    const ggml_tensor * cache = key_cache(k);
    return cache != nullptr ? layer_of_cache(cache) : -1;
}

bool writes_keys(const ggml_tensor * tensor) {
    return tensor->op == GGML_OP_SET_ROWS && cached_keys(tensor) == tensor;
}

bool went_through_rope(const ggml_tensor * tensor, int steps) {
    const bool by_weights = tensor != nullptr && (tensor->op == GGML_OP_MUL_MAT || tensor->op == GGML_OP_MUL_MAT_ID) &&
                            std::string_view(tensor->src[0]->name).starts_with("blk.");
    if (tensor == nullptr || steps == 0 || by_weights) {
        return false;
    }
    return tensor->op == GGML_OP_ROPE || went_through_rope(tensor->src[0], steps - 1) ||
           went_through_rope(tensor->src[1], steps - 1);
}

}  // namespace tmx
