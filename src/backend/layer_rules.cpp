#include "backend/layer_rules.h"

#include <algorithm>
#include <string_view>
#include <vector>

#include "trianglemix/layer_texts.h"
#include "trianglemix/plan.h"

namespace tmx {
namespace {

std::string name_of_layer(int32_t layer, const layer_heads & heads) {
    const char * kind = heads.banded ? "triangle layer " : "dynamic layer ";
    return layer >= 0 ? kind + std::to_string(layer) : "attention of a layer that is not known";
}

// "30 layers, 9/3 heads of 64"; what graphs do not tell is 0.
std::string text_of(const model_shape & shape) {
    const std::string layers = shape.n_layer > 0 ? std::to_string(shape.n_layer) + " layers, " : "";
    const std::string heads =
        shape.n_head > 0 ? std::to_string(shape.n_head) + "/" + std::to_string(shape.n_head_kv) + " " : "";
    return layers + heads + "heads of " + std::to_string(shape.d_head);
}

bool any_treated(const ubatch_runs & found, const layer_rule & rule, int64_t least_rows) {
    return std::any_of(found.runs.begin(), found.runs.end(),
                       [&](const causal_run & run) { return run.rows() >= least_rows && rule.treats(run); });
}

}  // namespace

void layer_rules::begin() {
    snapshot_ = settings_.snapshot();
    if (snapshot_.generation != compiled_generation_) {
        compiled_ = snapshot_.chosen != nullptr ? compiled_rules(*snapshot_.chosen) : compiled_rules();
        compiled_generation_ = snapshot_.generation;
    }
}

void layer_rules::expect_model(const model_shape & running) {
    if (running != expected_) {
        expected_ = running;
        checked_generation_ = 0;
    }
}

void layer_rules::check_plan(const std::function<model_shape()> & shape_of_model, const std::string & kernel) {
    way_ = "kernel " + kernel + ", precision " + precision_in_words(snapshot_) + ", plan " +
           (snapshot_.chosen ? snapshot_.chosen->name : "none (exact)");
    if (snapshot_.generation == checked_generation_) {
        return;
    }
    checked_generation_ = snapshot_.generation;
    refusal_.clear();
    measured_ = 0;
    if (snapshot_.chosen == nullptr) {
        return;
    }
    measured_ = measured_length(*snapshot_.chosen);
    const model_shape running = shape_of_model();
    refusal_ = plan_mismatch(*snapshot_.chosen, running);
    if (refusal_.empty()) {
        describe_plan(running, kernel);
        return;
    }
    statistics_.note_refusal(refusal_);
    say(log_, log_level::error, "plan %s refused, computing exactly: %s", snapshot_.chosen->name.c_str(),
        refusal_.c_str());
}

void layer_rules::describe_plan(const model_shape & running, const std::string & kernel) const {
    const plan & chosen = *snapshot_.chosen;
    const int32_t n_layer = running.n_layer > 0 ? running.n_layer : static_cast<int32_t>(chosen.layers.size());
    for (const band_text & band : band_texts(chosen)) {
        say(log_, log_level::info, "plan %s: triangle layers %s (sink %lld, window %lld)", chosen.name.c_str(),
            band.layers.c_str(), static_cast<long long>(band.n_sink), static_cast<long long>(band.n_window));
    }
    for (const selection_text & dynamic : selection_texts(chosen)) {
        say(log_, log_level::info, "plan %s: dynamic layers %s (%s)", chosen.name.c_str(), dynamic.layers.c_str(),
            dynamic.text().c_str());
    }
    if (chosen.skip > 0) {
        say(log_, log_level::info, "plan %s: layers that are not triangle skip keys (factor %g)", chosen.name.c_str(),
            chosen.skip);
    }
    say(log_, log_level::info, "plan %s: dense layers %s; last %lld, tail %s; precision %s, kernel %s",
        chosen.name.c_str(), dense_layers(chosen, n_layer).c_str(), static_cast<long long>(chosen.shape.n_last),
        std::string(name_of(chosen.tail)).c_str(), precision_in_words(snapshot_).c_str(), kernel.c_str());
    say(log_, log_level::info,
        "plan %s: applied to a model of %s; whether it is the one that the plan was made for, only its file tells",
        chosen.name.c_str(), text_of(running).c_str());
}

// Once per context and plan: a prompt far beyond those that the plan was measured on.
void layer_rules::warn_of_length(const ubatch_runs & found) {
    for (const causal_run & run : found.runs) {
        const int64_t n_tokens = run.rank_begin + run.rows();
        if (far_beyond(n_tokens, measured_)) {
            say(log_, log_level::warning,
                "plan %s was measured on prompts of up to %lld tokens, and this one has %lld or "
                "more; what it does to answers there is not known",
                snapshot_.chosen->name.c_str(), static_cast<long long>(measured_), static_cast<long long>(n_tokens));
            measured_ = 0;
            return;
        }
    }
}

layer_rule layer_rules::decide_rule(int32_t layer, const head_range & range) {
    layer_rule rule;
    rule.way = way_.empty() ? nullptr : &way_;
    const layer_heads & heads = compiled_.of_layer(layer);
    const bool in_model = layer >= 0 && snapshot_.chosen != nullptr && refusal_.empty();
    const auto skip_factor = in_model && !heads.banded ? static_cast<float>(snapshot_.chosen->skip) : 0.0f;
    if (heads.id == 0) {
        rule.skip_factor = skip_factor;
        return rule;
    }
    if (!refusal_.empty()) {
        statistics_.count_fallback("plan_refused");
        return rule;
    }
    // Models whose layers differ in head count pass the check of the whole plan.
    if (heads.by_head() && (!range.known() || !heads.fits(range.total))) {
        const char * reason = range.known() ? "head_count" : "split_heads";
        statistics_.count_fallback(reason);
        say_once(layer, reason);
        return rule;
    }
    rule.heads = &compiled_.part_of(heads, range);
    rule.skip_factor = skip_factor;
    rule.shape = snapshot_.chosen->shape_of_layer(static_cast<size_t>(layer));
    rule.tail = snapshot_.chosen->tail;
    rule.prompt_length = snapshot_.prompt_length;
    return rule;
}

std::optional<planned_layer> layer_rules::plan_layer(int32_t layer, int64_t n_head, const ubatch_runs & found,
                                                     int64_t least_rows, const layer_rotary & rotary) {
    layer_rule rule = decide_rule(layer, head_range::all(n_head));
    if (!note_fallbacks(layer, rule, found, least_rows) || !settle_rotary(layer, rule, found, rotary)) {
        return std::nullopt;
    }
    planned_layer planned{rule, make_segments(found, rule), {}};
    planned.marks = selected_marks(found, planned.segments, rule);
    return planned;
}

// Attention without a mask is none of a prompt's: vision encoders have it, whose layers no plan is about.
bool layer_rules::may_be_planned(int32_t layer, const layer_rule & rule, const char * reason) const {
    if (rule.planned() || layer >= 0 || snapshot_.chosen == nullptr || !refusal_.empty()) {
        return rule.planned();
    }
    return std::string_view(reason) != to_string(mask_reason::no_mask) && snapshot_.chosen->any_sparse();
}

void layer_rules::say_once(int32_t layer, const char * reason) {
    if (!said_.insert(reason).second) {
        return;
    }
    say(log_, log_level::warning,
        "%s is computed exactly, not by plan %s: %s (docs/backend.md). From now on this is only counted",
        name_of_layer(layer, compiled_.of_layer(layer)).c_str(), snapshot_.chosen->name.c_str(), reason);
}

bool layer_rules::note_fallbacks(int32_t layer, const layer_rule & rule, const ubatch_runs & found,
                                 int64_t least_rows) {
    if (rule.planned()) {
        warn_of_length(found);
    }
    const auto rows = std::find_if(found.masked.begin(), found.masked.end(),
                                   [&](const masked_rows & each) { return each.rows() >= least_rows; });
    if (rows != found.masked.end() && !note_fallback(layer, rule, to_string(rows->reason))) {
        say(log_, log_level::error, "strict: it is about rows %lld to %lld", static_cast<long long>(rows->row_begin),
            static_cast<long long>(rows->row_end - 1));
        return false;
    }
    const int64_t n_rows = unordered_rows(found, rule);
    if (n_rows > 0 && !note_fallback(layer, rule, "cell_order")) {
        say(log_, log_level::error, "strict: it is about %lld rows; in which order their keys stand is not certain",
            static_cast<long long>(n_rows));
        return false;
    }
    if (found.outputs_hidden && any_treated(found, rule, least_rows) && !note_fallback(layer, rule, "output_rows")) {
        return false;
    }
    if (snapshot_.strict && !refusal_.empty()) {
        statistics_.count_strict_failure("plan_refused");
        say(log_, log_level::error, "strict: plan %s does not fit: %s", snapshot_.chosen->name.c_str(),
            refusal_.c_str());
        return false;
    }
    return true;
}

bool layer_rules::settle_rotary(int32_t layer, layer_rule & rule, const ubatch_runs & found,
                                const layer_rotary & rotary) {
    const auto needs_rotary = [](const dynamic_rule & each) {
        return selection_method_of(each.selection.method).needs_rotary;
    };
    if (!rule.planned() || std::none_of(rule.heads->rules.begin(), rule.heads->rules.end(), needs_rotary)) {
        return true;
    }
    rule.rotary = rotary.layout;
    if (rotary.layout.known() || selected_marks(found, make_segments(found, rule), rule).empty()) {
        return true;
    }
    const bool goes_on = note_fallback(layer, rule, rotary.unknown_because);
    const std::string * way = rule.way;
    rule = {};
    rule.way = way;
    return goes_on;
}

bool layer_rules::note_fallback(int32_t layer, const layer_rule & rule, const char * reason) {
    if (!may_be_planned(layer, rule, reason)) {
        return true;
    }
    statistics_.count_fallback(reason);
    if (!snapshot_.strict) {
        say_once(layer, reason);
        return true;
    }
    statistics_.count_strict_failure(reason);
    say(log_, log_level::error, "strict: %s can only be computed exactly, not by plan %s: %s (docs/backend.md)",
        name_of_layer(layer, compiled_.of_layer(layer)).c_str(), snapshot_.chosen->name.c_str(), reason);
    return false;
}

}  // namespace tmx
