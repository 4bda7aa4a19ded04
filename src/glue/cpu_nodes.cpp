#include "glue/cpu_nodes.h"

#include "backend/stopwatch.h"
#include "glue/embedding_rows.h"
#include "glue/graph_tensors.h"
#include "glue/products/norm_view.h"
#include "glue/products/product_view.h"

namespace tmx {

void cpu_nodes::set_n_threads(int n_threads) {
    n_threads_ = n_threads;
    attention_.set_n_threads(n_threads);
    products_.set_n_threads(n_threads);
    norms_.set_n_threads(n_threads);
}

ggml_status cpu_nodes::compute(ggml_cgraph * graph, int index, int & n_computed) {
    const ggml_status result = compute_any(graph, index, n_computed);
    if (!is_product(graph->nodes[index])) {
        products_.forget_rows();
    }
    return result;
}

ggml_status cpu_nodes::compute_any(ggml_cgraph * graph, int index, int & n_computed) {
    const ggml_tensor * node = graph->nodes[index];
    if (writes_keys(node)) {
        const ggml_status result = writer_.compute(graph, index, n_threads_);
        if (result == GGML_STATUS_SUCCESS) {
            attention_.observe(graph, node);
        }
        return result;
    }
    if (is_product(node)) {
        return products_.compute(node);
    }
    if (is_norm(node)) {
        return norms_.compute(graph, index, n_computed);
    }
    if (node->op == GGML_OP_GET_ROWS) {
        return look_up(node);
    }
    if (node->op != GGML_OP_FLASH_ATTN_EXT) {
        GGML_LOG_ERROR("TriangleMix: asked for an operation it does not support: %s\n", ggml_op_name(node->op));
        return GGML_STATUS_FAILED;
    }
    return attention_.compute(graph, node);
}

ggml_status cpu_nodes::look_up(const ggml_tensor * node) {
    const stopwatch watch;
    if (!look_up_embeddings(node, n_threads_)) {
        GGML_LOG_ERROR("TriangleMix: %s asks for an embedding that %s does not have\n", node->name, node->src[0]->name);
        return GGML_STATUS_FAILED;
    }
    statistics_.count_embeddings({.rows = node->ne[1], .seconds = watch.seconds()});
    return GGML_STATUS_SUCCESS;
}

}  // namespace tmx
