#include "glue/products/norm_evaluator.h"

#include "backend/product_settings.h"
#include "backend/stopwatch.h"
#include "glue/products/norm_view.h"

namespace tmx {

ggml_status norm_evaluator::compute(const ggml_cgraph * graph, int index, int & n_computed) {
    const ggml_tensor * node = graph->nodes[index];
    if (const auto reason = why_norm_impossible(node)) {
        GGML_LOG_ERROR("TriangleMix: asked for a norm it does not support (%s)\n", to_string(*reason));
        return GGML_STATUS_FAILED;
    }
    if (kernel_.empty()) {  // forced at load, if at all
        kernel_ = product_kernel(settings_.snapshot().kernel);
    }
    const stopwatch watch;
    n_computed = multiplied_next(graph, index) ? 2 : 1;
    const norm_args args = n_computed == 2 ? norm_of(node, graph->nodes[index + 1]) : norm_of(node);
    if (const status result = normalise_rows(args, n_threads_, kernel_.c_str()); !result.ok()) {
        GGML_LOG_ERROR("TriangleMix: norm %s failed: %s\n", node->name, result.message());
        return GGML_STATUS_FAILED;
    }
    statistics_.count_norm({.nodes = n_computed, .seconds = watch.seconds()});
    return GGML_STATUS_SUCCESS;
}

}  // namespace tmx
