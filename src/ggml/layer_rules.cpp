#include "ggml/layer_rules.h"

#include <algorithm>
#include <string_view>
#include <vector>

#include "ggml/graph_inputs.h"
#include "trianglemix/plan.h"

namespace tmx {
namespace {

std::string name_of_layer(int32_t layer, const head_rule & rule) {
    const char * kind = rule.banded ? "triangle layer " : "dynamic layer ";
    return layer >= 0 ? kind + std::to_string(layer) : "attention of a layer that is not known";
}

}  // namespace

void layer_rules::begin() {
    now_ = settings_.snapshot();
    if (now_.generation != compiled_generation_) {
        compiled_ = now_.chosen != nullptr ? compiled_rules(*now_.chosen) : compiled_rules();
        compiled_generation_ = now_.generation;
    }
}

void layer_rules::check_plan(const ggml_cgraph * graph, const std::string & kernel) {
    way_ = "kernel " + kernel + ", precision " + std::string(name_of(now_.arithmetic)) + ", plan " +
           (now_.chosen ? now_.chosen->name : "none (exact)");
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
    std::vector<int32_t> dynamic;
    std::vector<int32_t> dense;
    for (int32_t layer = 0; layer < running.n_layer; ++layer) {
        const head_rule & rule = compiled_.of_layer(layer).rule;
        if (rule.banded) {
            triangle.push_back(layer);
        }
        if (rule.selection) {
            dynamic.push_back(layer);
        }
        if (rule.dense()) {
            dense.push_back(layer);
        }
    }
    if (!dynamic.empty()) {
        GGML_LOG_INFO("TriangleMix: plan %s: dynamic layers %s\n", chosen.name.c_str(),
                      format_layer_set(dynamic).c_str());
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
                "TriangleMix: plan %s was measured on prompts of up to %lld tokens, and this one has %lld or "
                "more; what it does to answers there is not known\n",
                now_.chosen->name.c_str(), static_cast<long long>(measured_), static_cast<long long>(n_tokens));
            measured_ = 0;
            return;
        }
    }
}

layer_rule layer_rules::rule_of(int32_t layer, int64_t n_head) {
    layer_rule rule;
    rule.way = way_.empty() ? nullptr : &way_;
    const layer_heads & heads = compiled_.of_layer(layer);
    if (heads.id == 0) {
        return rule;
    }
    if (!refusal_.empty()) {
        statistics_.fell_back("plan_refused");
        return rule;
    }
    // Models whose layers differ in head count pass the check of the whole plan.
    if (!heads.fits(n_head)) {
        fell_back(layer, "head_count");
        return rule;
    }
    rule.heads = &heads;
    rule.shape = now_.chosen->shape;
    rule.tail = now_.chosen->tail;
    rule.prompt_length = now_.prompt_length;
    return rule;
}

// Attention without a mask is none of a prompt's: vision encoders have it, whose layers no plan is about.
bool layer_rules::may_be_planned(int32_t layer, const layer_rule & rule, const char * reason) const {
    if (rule.planned() || layer >= 0 || now_.chosen == nullptr || !refusal_.empty()) {
        return rule.planned();
    }
    return std::string_view(reason) != to_string(mask_reason::no_mask) && now_.chosen->any_sparse();
}

void layer_rules::fell_back(int32_t layer, const char * reason) {
    statistics_.fell_back(reason);
    if (!said_.insert(reason).second) {
        return;
    }
    GGML_LOG_WARN(
        "TriangleMix: %s is computed exactly, not by plan %s: %s (docs/backend.md). From now on this is only counted\n",
        name_of_layer(layer, compiled_.of_layer(layer).rule).c_str(), now_.chosen->name.c_str(), reason);
}

bool layer_rules::permits(int32_t layer, const layer_rule & rule, const ubatch_runs & found, int64_t least_rows) {
    if (rule.planned()) {
        warn_of_length(found);
    }
    const auto rows = std::find_if(found.masked.begin(), found.masked.end(),
                                   [&](const masked_rows & each) { return each.rows() >= least_rows; });
    if (rows != found.masked.end() && !permits_exact(layer, rule, to_string(rows->reason))) {
        GGML_LOG_ERROR("TriangleMix: strict: it is about rows %lld to %lld\n", static_cast<long long>(rows->row_begin),
                       static_cast<long long>(rows->row_end - 1));
        return false;
    }
    const int64_t n_rows = unordered_rows(found, rule);
    if (n_rows > 0 && !permits_exact(layer, rule, "cell_order")) {
        GGML_LOG_ERROR("TriangleMix: strict: it is about %lld rows; in which order their keys stand is not certain\n",
                       static_cast<long long>(n_rows));
        return false;
    }
    if (now_.strict && !refusal_.empty()) {
        statistics_.strict_failure("plan_refused");
        GGML_LOG_ERROR("TriangleMix: strict: plan %s does not fit: %s\n", now_.chosen->name.c_str(), refusal_.c_str());
        return false;
    }
    return true;
}

bool layer_rules::permits_exact(int32_t layer, const layer_rule & rule, const char * reason) {
    if (!may_be_planned(layer, rule, reason)) {
        return true;
    }
    if (!now_.strict) {
        fell_back(layer, reason);
        return true;
    }
    statistics_.fell_back(reason);
    statistics_.strict_failure(reason);
    GGML_LOG_ERROR("TriangleMix: strict: %s can only be computed exactly, not by plan %s: %s (docs/backend.md)\n",
                   name_of_layer(layer, compiled_.of_layer(layer).rule).c_str(), now_.chosen->name.c_str(), reason);
    return false;
}

}  // namespace tmx
