#include "ggml/evaluator.h"

#include <algorithm>
#include <chrono>

namespace tmx {
namespace {

double seconds_since(std::chrono::steady_clock::time_point start) {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

ggml_status evaluator::compute(const ggml_cgraph * graph, const ggml_tensor * node) {
    fattn_view view(node);
    const int32_t layer = layer_of_keys(node->src[1]);
    begin_evaluation(graph, layer);
    const ubatch_runs & found = classify(graph, node, view, layer);
    const layer_rule rule = rules_.rule_of(layer, view.args.n_head);
    view.args.dense_head = rule.dense_head();
    // A single masked row is no fallback: like a decode row it keeps all it may see.
    if (!rules_.permits(layer, rule, found, 2)) {
        return GGML_STATUS_FAILED;
    }

    const std::vector<attention_segment> segments = make_segments(found, rule);
    const std::vector<uint8_t> marks = selected_marks(segments, rule);
    selected_pairs selected{.marks = marks, .kept = 0};
    const auto start = std::chrono::steady_clock::now();
    const status result = run(view.args, segments, rule, selected);
    if (!result.ok()) {
        GGML_LOG_ERROR("TriangleMix: attention of layer %d failed: %s\n", layer, result.message());
        return result.code() == status_code::out_of_memory ? GGML_STATUS_ALLOC_FAILED : GGML_STATUS_FAILED;
    }
    statistics_.computed(describe_node(view.args, layer, rule, found, segments, selected, seconds_since(start)));
    return GGML_STATUS_SUCCESS;
}

void evaluator::observe(const ggml_cgraph * graph, const ggml_tensor * set_rows) {
    constexpr size_t k_most_seen = 4;  // a model has one or two caches
    auto seen = std::find_if(writes_.begin(), writes_.end(), [&](const seen_write & each) {
        return graph->uid != 0 && each.graph_uid == graph->uid && each.found.set_rows == set_rows;
    });
    if (seen == writes_.end()) {
        if (writes_.size() == k_most_seen) {
            writes_.clear();
        }
        seen = writes_.insert(writes_.end(), {graph->uid, find_key_write(graph, set_rows)});
    }
    learn_key_write(seen->found, caches_);
}

// A layer index that does not rise is the next evaluation (or a layer that shares an earlier one's cache, which then
// pays for one more classification). Nodes of no known layer stand alone.
void evaluator::begin_evaluation(const ggml_cgraph * graph, int32_t layer) {
    const bool goes_on = layer > last_layer_ && last_layer_ >= 0;
    last_layer_ = layer;
    if (goes_on) {
        return;
    }
    remembered_.clear();
    rules_.begin();
    settings_snapshot & now = rules_.now();
    if (now.arithmetic == precision::fast) {
        const std::string problem = settings_.precision_problem(precision::fast);
        if (!problem.empty()) {
            now.arithmetic = precision::exact;
            statistics_.fell_back("fast_unavailable");
            if (!warned_precision_) {
                GGML_LOG_WARN("TriangleMix: %s; computing exactly\n", problem.c_str());
                warned_precision_ = true;
            }
        }
    }
    context_.arithmetic = now.arithmetic;
    context_.kernel = now.kernel.empty() ? nullptr : now.kernel.c_str();
    if (layer >= 0) {
        rules_.check_plan(graph, kernel_in_use(now));
    }
}

const ubatch_runs & evaluator::classify(const ggml_cgraph * graph, const ggml_tensor * node, const fattn_view & view,
                                        int32_t layer) {
    const attention_args & args = view.args;
    if (const auto reason = without_runs(view, layer)) {
        unshared_ = all_masked(args.n_batch, args.n_q, *reason);
        return unshared_;
    }
    const ggml_tensor * mask = node->src[3];
    const auto known = std::find_if(remembered_.begin(), remembered_.end(), [&](const classified & each) {
        return each.mask == mask && each.n_stream == args.n_batch && each.n_rows == args.n_q &&
               each.n_kv == args.n_kv &&
               each.print == fingerprint(view_for_fingerprint(graph, view, each.out_ids), each.found);
    });
    if (known != remembered_.end()) {
        return known->found;
    }
    std::erase_if(remembered_, [&](const classified & each) { return each.mask == mask; });

    const auto start = std::chrono::steady_clock::now();
    const input_tensors tensors = find_inputs(graph, node, nullptr);
    const graph_inputs inputs = read_inputs(tensors, node, view);
    known_cache & cache = caches_.of(key_cache(node->src[1]), tensors.rotary);
    classified & result = remembered_.emplace_back();
    result.mask = mask;
    result.out_ids = inputs.out_ids;
    result.n_stream = args.n_batch;
    result.n_rows = args.n_q;
    result.n_kv = args.n_kv;
    learn_inputs(tensors, inputs, cache);
    result.found = inputs.missing ? all_masked(args.n_batch, args.n_q, *inputs.missing)
                                  : find_runs(inputs.view, cache.table, cache.keys, context_.n_threads);
    result.print = fingerprint(inputs.view, result.found);
    statistics_.classified({&result.found, seconds_since(start)});
    return result.found;
}

status evaluator::run(const attention_args & args, const std::vector<attention_segment> & segments,
                      const layer_rule & rule, selected_pairs & selected) {
    const auto compute = [&] {
        if (rule.selection() == nullptr) {
            return attention_forward(args, segments, context_);
        }
        int64_t kept = 0;
        const status result =
            selected_attention_forward(request_of(rule, selected.marks), args, segments, context_, &kept);
        selected.kept = static_cast<double>(kept);
        return result;
    };
    status result = compute();
    if (result.code() == status_code::unsupported && context_.arithmetic == precision::fast) {
        statistics_.fell_back("fast_unsupported");
        context_.arithmetic = precision::exact;
        result = compute();
        context_.arithmetic = precision::fast;
    }
    return result;
}

}  // namespace tmx
