#include "glue/cpu_evaluator.h"

#include <optional>
#include <string>

#include "backend/stopwatch.h"
#include "glue/graph_inputs.h"
#include "glue/graph_shape.h"
#include "glue/graph_tensors.h"
#include "glue/queries_rotary.h"

namespace tmx {

void cpu_evaluator::set_n_threads(int n_threads) {
    context_.n_threads = n_threads > 0 ? n_threads : 1;
    ubatches_.set_n_threads(context_.n_threads);
}

void cpu_evaluator::begin_rebuilt(const ggml_cgraph * graph) {
    evaluation_.end();
    if (rebuilt_ == nullptr) {
        rebuilt_ = std::make_unique<rebuilt_inputs>();
    }
    rebuilt_->keep(graph, {.wait = [] {}, .compare = {}});
}

ggml_status cpu_evaluator::compute(const ggml_cgraph * graph, const ggml_tensor * node) {
    if (const auto reason = why_declined(node, 1)) {
        GGML_LOG_ERROR("TriangleMix: asked for an attention node it does not support (%s)\n", to_string(*reason));
        return GGML_STATUS_FAILED;
    }
    fattn_view view(node);
    const int32_t layer = layer_of_keys(node->src[1]);
    if (!evaluation_.advance(layer, layer)) {
        ubatches_.clear();
        has_rules_ = false;
    }
    const ubatch_runs & found = rows_of(graph, node, view, layer);
    begin_rules(graph, layer);
    // A single masked row is no fallback: like a decode row it keeps all it may see.
    const std::optional<planned_layer> planned =
        rules_.plan_layer(layer, view.args.n_head, found, 2, rotary_of_queries(node));
    if (!planned) {
        return GGML_STATUS_FAILED;
    }

    view.args.dense_head = planned->rule.dense_head();
    view.args.skip_factor = planned->rule.skip_factor;
    std::optional<layer_request> selection;
    if (!planned->marks.empty()) {
        selection.emplace(planned->rule, planned->marks, view.args.n_head_kv);
    }
    selected_record selected;
    const stopwatch watch;
    const status result = run(view.args, planned->segments, selection ? &selection->request() : nullptr, selected);
    if (!result.ok()) {
        GGML_LOG_ERROR("TriangleMix: attention of layer %d failed: %s\n", layer, result.message());
        return result.code() == status_code::out_of_memory ? GGML_STATUS_ALLOC_FAILED : GGML_STATUS_FAILED;
    }
    statistics_.count_node(
        describe_node(view.args, layer, planned->rule, found, planned->segments, planned->marks, watch.seconds()));
    if (selection) {
        statistics_.count_selected(layer, selected);
    }
    return GGML_STATUS_SUCCESS;
}

const ubatch_runs & cpu_evaluator::rows_of(const ggml_cgraph * graph, const ggml_tensor * node, const fattn_view & view,
                                           int32_t layer) {
    const attention_args & args = view.args;
    if (const auto reason = without_runs(view, layer)) {
        unshared_ = all_masked(args.n_batch, args.n_q, *reason);
        return unshared_;
    }
    host_ubatch source(graph, node, view, caches_, rebuilt_.get());
    return ubatches_.of({node->src[3], args.n_batch, args.n_q, args.n_kv}, source).found;
}

// Takes settings and plan, once an evaluation.
void cpu_evaluator::begin_rules(const ggml_cgraph * graph, int32_t layer) {
    if (has_rules_) {
        return;
    }
    rules_.begin();
    settings_snapshot & snapshot = rules_.snapshot();
    repair_precision(snapshot);
    context_.arithmetic = attention_precision(snapshot);
    context_.kernel = snapshot.kernel.empty() ? nullptr : snapshot.kernel.c_str();
    if (layer >= 0) {
        if (rebuilt_ != nullptr) {
            rules_.expect_model(shape_of_graph(graph));
        }
        rules_.check_plan([&] { return shape_of_graph(graph); }, kernel_in_use(snapshot));
    }
    has_rules_ = true;
}

void cpu_evaluator::repair_precision(settings_snapshot & snapshot) {
    const std::string problem = settings_.precision_problem(snapshot.arithmetic);
    if (problem.empty()) {
        return;
    }
    snapshot.arithmetic = precision::exact;
    statistics_.count_fallback("fast_unavailable");
    if (!warned_precision_) {
        GGML_LOG_WARN("TriangleMix: %s; computing exactly\n", problem.c_str());
        warned_precision_ = true;
    }
}

status cpu_evaluator::run(const attention_args & args, const std::vector<attention_segment> & segments,
                          const selection_request * selection, selected_record & selected) {
    const auto compute = [&] {
        if (selection == nullptr) {
            return attention_forward(args, segments, context_);
        }
        std::vector<int64_t> kept(selection->n_sums());
        std::vector<double> seconds(selection->n_sums());
        const status result =
            selected_attention_forward(*selection, args, segments, context_, kept.data(), seconds.data());
        selected = selected_node(*selection, segments, shape_of_node(args)).record(kept, seconds);
        return result;
    };
    status result = compute();
    if (result.code() == status_code::unsupported && context_.arithmetic == precision::fast) {
        statistics_.count_fallback("fast_unsupported");
        context_.arithmetic = precision::exact;
        result = compute();
        context_.arithmetic = precision::fast;
    }
    return result;
}

}  // namespace tmx
