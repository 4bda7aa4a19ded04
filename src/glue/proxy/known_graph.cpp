#include "glue/proxy/known_graph.h"

#include <algorithm>
#include <utility>

#include "glue/backend_common.h"
#include "glue/graph_tensors.h"

namespace tmx {

// A graph's uid stands for its nodes and all that they read from: llama.cpp gives a new one whenever it splits anew. A
// node list of its own (an evaluation callback's view) has none.
bool known_graph::look_at(const ggml_cgraph * graph) {
    if (graph->uid != 0 && graph->uid == uid_ && graph->nodes == nodes_) {
        return false;
    }
    uid_ = 0;  // until all of it is known
    attention_.clear();
    masks_.clear();
    rewritten_.clear();
    inputs_.clear();
    most_rows_ = 0;
    most_keys_ = 0;
    first_layer_ = -1;
    last_layer_ = -1;
    rebuilt_ = false;
    by_copies_ = false;
    for (int i = 0; i < graph->n_nodes; ++i) {
        const ggml_tensor * node = graph->nodes[i];
        if (computes_nothing(node)) {
            continue;
        }
        if (node->op != GGML_OP_FLASH_ATTN_EXT) {
            if (node->op != GGML_OP_SET_ROWS && cached_keys(node) == node) {
                rewritten_.push_back(node->view_src);
            }
            continue;
        }
        last_layer_ = layer_of_keys(node->src[1]);
        first_layer_ = attention_.empty() ? last_layer_ : first_layer_;
        attention_.push_back(i);
        most_rows_ = std::max(most_rows_, node->src[0]->ne[1]);
        most_keys_ = std::max(most_keys_, node->src[1]->ne[1]);
        const bool tells_cells = node->src[3] != nullptr && last_layer_ >= 0 && !why_declined(node, 1);
        if (tells_cells && std::none_of(masks_.begin(), masks_.end(),
                                        [&](int each) { return graph->nodes[each]->src[3] == node->src[3]; })) {
            masks_.push_back(i);
        }
    }
    feed_forward_ = attention_.empty() ? std::vector<feed_forward_nodes>() : find_feed_forward(graph);
    rebuilt_ = !attention_.empty() && !shows_inputs(graph);
    by_copies_ = rebuilt_ || std::any_of(masks_.begin(), masks_.end(), [&](int each) {
                     return has_several_originals(graph, graph->nodes[each]->src[3], device_.c_str());
                 });
    uid_ = graph->uid;
    nodes_ = graph->nodes;
    return true;
}

bool known_graph::keep_inputs(const ggml_cgraph * graph, const input_device & device) {
    inputs_.clear();
    return kept_.keep(graph, device);
}

const input_tensors & known_graph::inputs_of(const ggml_cgraph * graph, const ggml_tensor * node) {
    const ggml_tensor * cache = key_cache(node->src[1]);
    const auto known = std::find_if(inputs_.begin(), inputs_.end(), [&](const node_inputs & each) {
        return each.mask == node->src[3] && each.cache == cache;
    });
    if (known != inputs_.end()) {
        return known->tensors;
    }
    input_tensors found = rebuilt_ ? kept_.of(node) : find_inputs(graph, node, device_.c_str());
    if (by_copies_ && !rebuilt_) {
        input_tensors copies = kept_.of(node);
        found.masks = std::move(copies.masks);
        found.far = copies.far;
        found.own_cells = std::move(copies.own_cells);
    }
    inputs_.push_back({node->src[3], cache, std::move(found)});
    return inputs_.back().tensors;
}

// All layers share the positions, and the first of the evaluation's graphs is the only one that finds them for sure:
// once the scheduler has copied them to the device, their memory serves other nodes. A mask or a list of cells is as it
// should be in the first graph that has a node with it, which is the only one that reads it.
void known_graph::keep_positions(const ggml_cgraph * graph, const ggml_tensor * node) {
    if (has_positions_ || rebuilt_) {
        return;
    }
    has_positions_ = true;
    const ggml_tensor * original = inputs_of(graph, node).positions;
    positions_.original = nullptr;
    if (original != nullptr && ggml_is_contiguous(original) && in_host_memory(original)) {
        const auto * data = static_cast<const std::byte *>(original->data);
        positions_.bytes.assign(data, data + ggml_nbytes(original));
        positions_.tensor = *original;
        positions_.tensor.buffer = nullptr;
        positions_.tensor.data = positions_.bytes.data();
        positions_.original = original;
    }
}

ubatch_inputs known_graph::inputs_now(const ggml_cgraph * graph, const ggml_tensor * node, const fattn_view & view) {
    input_tensors tensors = inputs_of(graph, node);
    if (rebuilt_) {
        return read_inputs(tensors, node, view);
    }
    tensors.positions =
        tensors.positions == positions_.original && tensors.positions != nullptr ? &positions_.tensor : nullptr;
    return read_inputs(tensors, node, view);
}

}  // namespace tmx
