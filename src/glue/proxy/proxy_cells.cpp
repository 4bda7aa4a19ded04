#include "glue/proxy/proxy_cells.h"

#include <algorithm>
#include <new>

#include "glue/fattn_view.h"
#include "glue/graph_inputs.h"
#include "glue/graph_tensors.h"

namespace tmx {

void proxy_cells::forget_rewritten() {
    for (const ggml_tensor * cache : current_.rewritten()) {
        caches_.of(cache, false).table = {};
    }
}

void proxy_cells::learn(const ggml_cgraph * graph) {
    try {
        for (const int i : current_.masks()) {
            const ggml_tensor * node = graph->nodes[i];
            if (std::find(learned_.begin(), learned_.end(), node->src[3]) == learned_.end()) {
                learned_.push_back(node->src[3]);
                learn_node(graph, node);
            }
        }
    } catch (const std::bad_alloc &) {
        forget();  // what could not be noted has replaced any of it; the evaluation itself is none the worse
    }
}

void proxy_cells::learn_node(const ggml_cgraph * graph, const ggml_tensor * node) {
    current_.keep_positions(graph, node);
    const fattn_view view(node);
    learn_inputs(current_.inputs_of(graph, node), current_.inputs_now(graph, node, view), of(graph, node));
}

known_cells & proxy_cells::of(const ggml_cgraph * graph, const ggml_tensor * node) {
    return caches_.of(key_cache(node->src[1]), current_.inputs_of(graph, node).rotary);
}

}  // namespace tmx
