#include "ggml/evaluator.h"

#include <algorithm>
#include <chrono>

#include "ggml/graph_inputs.h"

namespace tmx {
namespace {

constexpr size_t k_most_caches = 8;  // caches whose cells are remembered: several a context only with hybrid models

double seconds_since(std::chrono::steady_clock::time_point start) {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// What a triangle layer computes exactly although the plan asks otherwise. Single rows are not: a decode row keeps all.
const masked_rows * first_fallback(const ubatch_runs & found) {
    const auto rows = std::find_if(found.masked.begin(), found.masked.end(),
                                   [](const masked_rows & each) { return each.rows() > 1; });
    return rows == found.masked.end() ? nullptr : &*rows;
}

}  // namespace

ggml_status evaluator::compute(const ggml_cgraph * graph, const ggml_tensor * node) {
    fattn_view view(node);
    const int32_t layer = layer_of_keys(node->src[1]);
    begin_evaluation(graph, layer);
    const ubatch_runs & found = classify(graph, node, view, layer);
    const layer_rule rule = rule_of(layer, view.args);
    if (rule.triangle) {
        if (const masked_rows * rows = first_fallback(found)) {
            statistics_.fell_back(to_string(rows->reason));
            if (now_.strict) {
                GGML_LOG_ERROR(
                    "TriangleMix: strict: layer %d is a triangle layer of plan %s, but rows %lld to %lld can only be "
                    "computed exactly (%s, see docs/backend.md)\n",
                    layer, now_.chosen->name.c_str(), static_cast<long long>(rows->row_begin),
                    static_cast<long long>(rows->row_end - 1), to_string(rows->reason));
                return GGML_STATUS_FAILED;
            }
        }
    }
    if (now_.strict && !refusal_.empty()) {
        GGML_LOG_ERROR("TriangleMix: strict: plan %s does not fit: %s\n", now_.chosen->name.c_str(), refusal_.c_str());
        return GGML_STATUS_FAILED;
    }

    const std::vector<attention_segment> segments = make_segments(found, rule);
    const auto start = std::chrono::steady_clock::now();
    const status result = run(view.args, segments);
    if (!result.ok()) {
        GGML_LOG_ERROR("TriangleMix: attention of layer %d failed: %s\n", layer, result.message());
        return result.code() == status_code::out_of_memory ? GGML_STATUS_ALLOC_FAILED : GGML_STATUS_FAILED;
    }
    node_record record{.kind = node_kind::dense,
                       .layer = layer,
                       .triangle_layer = rule.triangle,
                       .found = &found,
                       .pairs = {},
                       .seconds = seconds_since(start)};
    if (rule.triangle && !found.runs.empty()) {
        record.kind = node_kind::triangle;
    } else if (!found.masked.empty()) {
        record.kind = node_kind::masked;
    }
    const attention_args & args = view.args;
    node_shape shape{.n_head = args.n_head,
                     .n_head_kv = args.n_head_kv,
                     .n_kv = args.n_kv,
                     .d_qk = args.d_qk,
                     .d_v = args.d_v,
                     .n_dense_head = 0,
                     .kv_bytes_per_elem =
                         static_cast<double>(block_bytes(args.k_type)) / static_cast<double>(block_elems(args.k_type))};
    if (args.dense_head != nullptr) {
        shape.n_dense_head =
            std::count_if(args.dense_head, args.dense_head + args.n_head, [](uint8_t dense) { return dense != 0; });
    }
    record.pairs = count_pairs(segments, shape);
    statistics_.computed(record);
    return GGML_STATUS_SUCCESS;
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
    now_ = settings_.snapshot();
    if (now_.arithmetic == precision::fast) {
        const std::string problem = settings_.precision_problem(precision::fast);
        if (!problem.empty()) {
            now_.arithmetic = precision::exact;
            statistics_.fell_back("fast_unavailable");
            if (!warned_precision_) {
                GGML_LOG_WARN("TriangleMix: %s; computing exactly\n", problem.c_str());
                warned_precision_ = true;
            }
        }
    }
    context_.arithmetic = now_.arithmetic;
    context_.kernel = now_.kernel.empty() ? nullptr : now_.kernel.c_str();
    if (layer >= 0 && now_.generation != checked_generation_) {
        check_plan(graph);
    }
}

void evaluator::check_plan(const ggml_cgraph * graph) {
    checked_generation_ = now_.generation;
    refusal_.clear();
    if (now_.chosen == nullptr) {
        return;
    }
    const model_shape running = shape_of_graph(graph);
    refusal_ = plan_mismatch(*now_.chosen, running);
    if (refusal_.empty()) {
        describe_plan(running);
        return;
    }
    statistics_.plan_refused(refusal_);
    GGML_LOG_ERROR("TriangleMix: plan %s refused, computing exactly: %s\n", now_.chosen->name.c_str(),
                   refusal_.c_str());
}

void evaluator::describe_plan(const model_shape & running) const {
    const plan & chosen = *now_.chosen;
    std::vector<int32_t> triangle;
    std::vector<int32_t> dense;
    for (int32_t layer = 0; layer < running.n_layer; ++layer) {
        const auto at = static_cast<size_t>(layer);
        const bool sparse = at < chosen.layers.size() && chosen.layers[at].kind == layer_kind::triangle;
        (sparse ? triangle : dense).push_back(layer);
    }
    GGML_LOG_INFO(
        "TriangleMix: plan %s: triangle layers %s (sink %lld, window %lld, last %lld, tail %s), dense layers "
        "%s; precision %s, kernel %s\n",
        chosen.name.c_str(), format_layer_set(triangle).c_str(), static_cast<long long>(chosen.shape.n_sink),
        static_cast<long long>(chosen.shape.n_window), static_cast<long long>(chosen.shape.n_last),
        std::string(name_of(chosen.tail)).c_str(), format_layer_set(dense).c_str(),
        std::string(name_of(now_.arithmetic)).c_str(), kernel_in_use(now_).c_str());
}

const ubatch_runs & evaluator::classify(const ggml_cgraph * graph, const ggml_tensor * node, const fattn_view & view,
                                        int32_t layer) {
    const attention_args & args = view.args;
    if (!view.has_mask || layer < 0 || view.mask_per_head) {
        const mask_reason reason = !view.has_mask ? mask_reason::no_mask
                                   : layer < 0    ? mask_reason::no_layer
                                                  : mask_reason::mask_per_head;
        unshared_ = all_masked(args.n_batch, args.n_q, reason);
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
    const graph_inputs inputs = read_inputs(graph, node, view);
    classified & result = remembered_.emplace_back();
    result.mask = mask;
    result.out_ids = inputs.out_ids;
    result.n_stream = args.n_batch;
    result.n_rows = args.n_q;
    result.n_kv = args.n_kv;
    result.found = inputs.missing ? all_masked(args.n_batch, args.n_q, *inputs.missing)
                                  : find_runs(inputs.view, cells_of(inputs.cache), inputs.keys, context_.n_threads);
    result.print = fingerprint(inputs.view, result.found);
    statistics_.classified({&result.found, seconds_since(start)});
    return result.found;
}

cell_table & evaluator::cells_of(const void * cache) {
    const auto known =
        std::find_if(caches_.begin(), caches_.end(), [&](const cache_cells & each) { return each.cache == cache; });
    if (known != caches_.end()) {
        return known->table;
    }
    if (caches_.size() == k_most_caches) {
        caches_.erase(caches_.begin());
    }
    caches_.push_back({cache, {}});
    return caches_.back().table;
}

layer_rule evaluator::rule_of(int32_t layer, attention_args & args) {
    layer_rule rule;
    if (now_.chosen == nullptr || layer < 0 || static_cast<size_t>(layer) >= now_.chosen->layers.size()) {
        return rule;
    }
    const layer_plan & planned = now_.chosen->layers[static_cast<size_t>(layer)];
    if (planned.kind != layer_kind::triangle) {
        return rule;
    }
    if (!refusal_.empty()) {
        statistics_.fell_back("plan_refused");
        return rule;
    }
    // Models whose layers differ in head count pass the check of the whole plan.
    if (!planned.dense_head.empty() && static_cast<int64_t>(planned.dense_head.size()) != args.n_head) {
        statistics_.fell_back("head_count");
        return rule;
    }
    args.dense_head = planned.dense_head.empty() ? nullptr : planned.dense_head.data();
    rule.triangle = true;
    rule.shape = now_.chosen->shape;
    rule.tail = now_.chosen->tail;
    rule.prompt_length = now_.prompt_length;
    return rule;
}

status evaluator::run(const attention_args & args, const std::vector<attention_segment> & segments) {
    status result = attention_forward(args, segments, context_);
    if (result.code() == status_code::unsupported && context_.arithmetic == precision::fast) {
        statistics_.fell_back("fast_unsupported");
        context_.arithmetic = precision::exact;
        result = attention_forward(args, segments, context_);
        context_.arithmetic = precision::fast;
    }
    return result;
}

}  // namespace tmx
