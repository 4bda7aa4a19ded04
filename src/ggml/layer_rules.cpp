#include "ggml/layer_rules.h"

#include <algorithm>
#include <vector>

#include "ggml/graph_inputs.h"
#include "trianglemix/plan.h"

namespace tmx {

void layer_rules::check_plan(const ggml_cgraph * graph, const std::string & kernel) {
    if (now_.generation == checked_generation_) {
        return;
    }
    checked_generation_ = now_.generation;
    refusal_.clear();
    measured_ = 0;
    if (now_.chosen == nullptr) {
        return;
    }
    measured_ = measured_length(*now_.chosen);
    const model_shape running = shape_of_graph(graph);
    refusal_ = plan_mismatch(*now_.chosen, running);
    if (refusal_.empty()) {
        describe_plan(running, kernel);
        return;
    }
    statistics_.plan_refused(refusal_);
    GGML_LOG_ERROR("TriangleMix: plan %s refused, computing exactly: %s\n", now_.chosen->name.c_str(),
                   refusal_.c_str());
}

void layer_rules::describe_plan(const model_shape & running, const std::string & kernel) const {
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
        std::string(name_of(now_.arithmetic)).c_str(), kernel.c_str());
}

// Once per context and plan: a prompt far beyond those that the plan was measured on.
void layer_rules::warn_of_length(const ubatch_runs & found) {
    for (const causal_run & run : found.runs) {
        const int64_t n_tokens = run.rank_begin + run.rows();
        if (far_beyond(n_tokens, measured_)) {
            GGML_LOG_WARN(
                "TriangleMix: plan %s was measured on prompts of up to %lld tokens, and this one has %lld or more; "
                "what "
                "it does to answers there is not known\n",
                now_.chosen->name.c_str(), static_cast<long long>(measured_), static_cast<long long>(n_tokens));
            measured_ = 0;
            return;
        }
    }
}

layer_rule layer_rules::rule_of(int32_t layer, int64_t n_head) {
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
    if (!planned.dense_head.empty() && static_cast<int64_t>(planned.dense_head.size()) != n_head) {
        statistics_.fell_back("head_count");
        return rule;
    }
    rule.triangle = true;
    rule.dense_head = planned.dense_head.empty() ? nullptr : planned.dense_head.data();
    rule.shape = now_.chosen->shape;
    rule.tail = now_.chosen->tail;
    rule.prompt_length = now_.prompt_length;
    return rule;
}

bool layer_rules::permits(int32_t layer, const layer_rule & rule, const ubatch_runs & found, int64_t least_rows) {
    if (rule.triangle) {
        warn_of_length(found);
        const auto rows = std::find_if(found.masked.begin(), found.masked.end(),
                                       [&](const masked_rows & each) { return each.rows() >= least_rows; });
        if (rows != found.masked.end()) {
            statistics_.fell_back(to_string(rows->reason));
            if (now_.strict) {
                GGML_LOG_ERROR(
                    "TriangleMix: strict: layer %d is a triangle layer of plan %s, but rows %lld to %lld can only be "
                    "computed exactly (%s, see docs/backend.md)\n",
                    layer, now_.chosen->name.c_str(), static_cast<long long>(rows->row_begin),
                    static_cast<long long>(rows->row_end - 1), to_string(rows->reason));
                return false;
            }
        }
    }
    if (now_.strict && !refusal_.empty()) {
        GGML_LOG_ERROR("TriangleMix: strict: plan %s does not fit: %s\n", now_.chosen->name.c_str(), refusal_.c_str());
        return false;
    }
    return true;
}

bool layer_rules::permits_exact(int32_t layer, const layer_rule & rule, const char * reason) {
    if (!rule.triangle) {
        return true;
    }
    statistics_.fell_back(reason);
    if (now_.strict) {
        GGML_LOG_ERROR(
            "TriangleMix: strict: layer %d is a triangle layer of plan %s, but can only be computed exactly (%s, see "
            "docs/backend.md)\n",
            layer, now_.chosen->name.c_str(), reason);
    }
    return !now_.strict;
}

}  // namespace tmx
