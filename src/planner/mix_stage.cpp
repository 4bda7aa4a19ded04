#include "planner/mix_stage.h"

#include <algorithm>

#include "planner/mix_applied.h"
#include "runtime/answer_rows.h"
#include "trianglemix/backend_control.h"

namespace tmx {
namespace {

using json = record_store::json;

// Dense answers that are kept: of 150,000 words and 17 positions, 10 MB each.
constexpr size_t k_most_references = 32;

bool all_dense(const layer_mix & mix) {
    return std::all_of(mix.begin(), mix.end(), [](int32_t entry) { return entry == k_dense; });
}

// For any prompt of the run.
arm dense_arm(const profile_settings & settings, const prompt_pool & prompts) {
    int64_t longest = 0;
    for (size_t prompt = 0; prompt < prompts.specs().size(); ++prompt) {
        longest = std::max(longest, prompts.n_tokens(prompt));
    }
    arm a;
    a.name = "dense";
    a.precision = settings.precision;
    // The backend takes no node of fewer rows, and what it leaves is computed exactly.
    a.min_last = std::max<int64_t>(settings.shape.n_last, TMX_DEFAULT_MIN_ROWS);
    a.context.n_ctx = context_for(longest + settings.n_following + 1);
    a.context.n_ubatch = settings.n_ubatch;
    a.context.n_threads = settings.n_threads;
    a.context.stop = settings.stop;
    return a;
}

json mix_json(const mix_effect & e, const std::string & mix) {
    json record = set_json(e.effect, mix);
    record["type"] = "mix";
    record["layers"] = costs_json(e.layers);
    return record;
}

}  // namespace

mix_stage::mix_stage(const planner_settings & settings, const record_keys & keys, backend & b, const model & m,
                     const prompt_pool & prompts, record_store & records)
    : settings_(settings),
      keys_(keys),
      backend_(b),
      model_(m),
      prompts_(prompts),
      records_(records),
      shape_(shape_of(m.facts())),
      arm_(dense_arm(settings.base, prompts)) {}

std::string mix_stage::key_of(const layer_mix & mix, size_t prompt) const {
    return keys_.effect(prompts_.prompt(prompt), "mix " + text_of(mix, settings_.menu));
}

bool mix_stage::on_file(const layer_mix & mix, size_t prompt) const {
    return records_.find(key_of(mix, prompt)) != nullptr;
}

session & mix_stage::open() {
    if (session_ == nullptr) {
        session_ = open_arm(backend_, model_, arm_);
    }
    return *session_;
}

double mix_stage::seconds_of_prefill() {
    session & s = open();
    backend_.set_plan(s.backend_context(), "");
    const std::vector<token_id> & ids = prompts_.prompt(0).ids;
    const double first = prefill_arm(backend_, arm_, s, ids).seconds;
    return std::min(first, prefill_arm(backend_, arm_, s, ids).seconds);
}

std::string mix_stage::plan_of(const layer_mix & mix) const {
    if (all_dense(mix)) {
        return "";
    }
    plan p = plan_of_mix(mix, settings_.menu, shape_, settings_.base.shape);
    p.arithmetic = parse_precision(settings_.base.precision).value;
    return write_plan(p);
}

logit_rows mix_stage::compute_rows(const layer_mix & mix, size_t prompt, std::vector<token_id> & continuation,
                                   mix_effect & costs) {
    const std::vector<token_id> & ids = prompts_.prompt(prompt).ids;
    session & s = open();
    backend_.set_plan(s.backend_context(), plan_of(mix));
    backend_.reset_statistics(s.backend_context());
    const timed_prefill prefilled = prefill_arm(backend_, arm_, s, ids);
    const backend_statistics counted = parse_statistics(backend_.statistics(s.backend_context()));
    const std::string problem =
        why_not_applied(counted, mix, settings_.menu, shape_, settings_.base.shape, static_cast<int64_t>(ids.size()));
    if (!problem.empty()) {
        throw not_applied(problem);
    }
    costs.effect.seconds = prefilled.seconds;
    costs.layers = layer_costs(counted, shape_.n_layer);
    return answer_rows(backend_, model_, arm_, s, ids, prefilled.first, settings_.base.n_following, continuation);
}

const mix_stage::reference & mix_stage::dense(size_t prompt) {
    const auto found = references_.find(prompt);
    if (found != references_.end()) {
        return found->second;
    }
    if (references_.size() >= k_most_references) {
        references_.clear();
    }
    const layer_mix mix = mix_of(shape_.n_layer, {}, k_dense);
    reference made;
    mix_effect costs;
    made.rows = compute_rows(mix, prompt, made.continuation, costs);
    const probe_prompt & p = prompts_.prompt(prompt);
    made.costs.effect = effect_of_rows(prompts_.specs()[prompt].name(), static_cast<int64_t>(p.ids.size()), made.rows,
                                       made.rows, p.target);
    made.costs.effect.seconds = made.costs.effect.dense_seconds = costs.effect.seconds;
    made.costs.layers = costs.layers;
    return references_.emplace(prompt, std::move(made)).first->second;
}

mix_effect mix_stage::compute(const layer_mix & mix, size_t prompt) {
    const reference & base = dense(prompt);
    if (all_dense(mix)) {
        return base.costs;
    }
    mix_effect e;
    mix_effect costs;
    std::vector<token_id> continuation = base.continuation;
    const logit_rows rows = compute_rows(mix, prompt, continuation, costs);
    e.effect = effect_of_rows(base.costs.effect.prompt, base.costs.effect.n_tokens, base.rows, rows,
                              prompts_.prompt(prompt).target);
    e.effect.seconds = costs.effect.seconds;
    e.effect.dense_seconds = base.costs.effect.seconds;
    e.layers = std::move(costs.layers);
    return e;
}

mix_effect mix_stage::measure(const layer_mix & mix, size_t prompt) {
    const std::string key = key_of(mix, prompt);
    const json * record = records_.find(key);
    if (record == nullptr) {
        record = &records_.append(key, mix_json(compute(mix, prompt), text_of(mix, settings_.menu)));
    }
    return {effect_of_json(*record, prompts_.specs()[prompt].name()), costs_of_json(record->at("layers"))};
}

}  // namespace tmx
