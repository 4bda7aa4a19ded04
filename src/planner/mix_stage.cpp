#include "planner/mix_stage.h"

#include <algorithm>
#include <utility>

#include "planner/mix_applied.h"
#include "runtime/answer_rows.h"
#include "trianglemix/backend_control.h"

namespace tmx {
namespace {

using json = record_store::json;

// Of dense answers that are kept: a gigabyte, or a hundred answers of 17 positions and 150,000 words.
constexpr size_t k_most_logits = size_t{1} << 28;

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
    const std::string start = settings_.start ? " on " + settings_.start->sha256 : "";
    return keys_.effect(prompts_.prompt(prompt), "mix " + text_of(mix, settings_.menu) + start);
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

int64_t mix_stage::n_shared(size_t first, size_t second) const {
    const bool one_context = prompts_.about_context_of(first).front() == prompts_.about_context_of(second).front();
    // A window's cache may have given away what the rows behind the common part see.
    if (!one_context || !model_.facts().windows.empty()) {
        return 0;
    }
    const std::vector<token_id> & a = prompts_.prompt(first).ids;
    const std::vector<token_id> & b = prompts_.prompt(second).ids;
    const auto n_equal = std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin();
    const std::vector<index_range> chunks_a = chunks_of_arm(arm_, static_cast<int64_t>(a.size()));
    const std::vector<index_range> chunks_b = chunks_of_arm(arm_, static_cast<int64_t>(b.size()));
    // The last chunk of each has the prompt's last rows.
    int64_t n = 0;
    for (size_t i = 0; i + 1 < std::min(chunks_a.size(), chunks_b.size()); ++i) {
        if (chunks_a[i].end != chunks_b[i].end || chunks_a[i].end > n_equal) {
            break;
        }
        n = chunks_a[i].end;
    }
    return n;
}

double mix_stage::seconds_of_prefill() {
    held_.reset();
    session & s = open();
    backend_.set_plan(s.backend_context(), "");
    const std::vector<token_id> & ids = prompts_.prompt(0).ids;
    const double first = prefill_arm(backend_, arm_, s, ids).seconds;
    return std::min(first, prefill_arm(backend_, arm_, s, ids).seconds);
}

plan mix_stage::plan_of(const layer_mix & mix) const {
    plan p = plan_of_mix(mix, settings_.menu, shape_, settings_.base.shape, settings_.start_layers());
    p.arithmetic = parse_precision(settings_.base.precision).value;
    return p;
}

logit_rows mix_stage::compute_rows(const layer_mix & mix, const plan & planned, size_t prompt,
                                   std::vector<token_id> & continuation, mix_effect & costs) {
    const std::vector<token_id> & ids = prompts_.prompt(prompt).ids;
    session & s = open();
    const std::string plan = planned.any_sparse() ? write_plan(planned) : "";
    const std::optional<computed> before = std::exchange(held_, std::nullopt);
    int64_t n_there = before && before->plan == plan ? n_shared(before->prompt, prompt) : 0;
    if (n_there > 0 && !s.roll_back(n_there)) {
        n_there = 0;
    }
    if (n_there == 0) {
        backend_.set_plan(s.backend_context(), plan);
    }
    backend_.reset_statistics(s.backend_context());
    const timed_prefill prefilled = prefill_arm(backend_, arm_, s, ids, {}, n_there);
    const backend_statistics counted = parse_statistics(backend_.statistics(s.backend_context()));
    const std::string problem =
        why_not_applied(counted, mix, settings_.menu, planned, static_cast<int64_t>(ids.size()), n_there);
    if (!problem.empty()) {
        throw not_applied(problem);
    }
    if (n_there > 0) {
        costs = before->costs;
    } else {
        costs.effect.seconds = prefilled.seconds;
        costs.layers = layer_costs(counted, shape_.n_layer);
    }
    held_ = {plan, prompt, costs};
    return answer_rows(backend_, model_, arm_, s, ids, prefilled.first, settings_.base.n_following, continuation);
}

const mix_stage::reference & mix_stage::dense(size_t prompt) {
    if (!references_.contains(prompt)) {
        const auto n_logits = static_cast<size_t>(model_.facts().n_vocab * (settings_.base.n_following + 1));
        const std::vector<size_t> context = prompts_.about_context_of(prompt);
        if ((references_.size() + context.size()) * n_logits > k_most_logits) {
            references_.clear();
        }
        for (const size_t each : context) {
            references_.insert_or_assign(each, compute_dense(each));
        }
    }
    return references_.at(prompt);
}

mix_stage::reference mix_stage::compute_dense(size_t prompt) {
    reference made;
    mix_effect costs;
    made.rows = compute_rows({}, {}, prompt, made.continuation, costs);
    const probe_prompt & p = prompts_.prompt(prompt);
    made.costs.effect = effect_of_rows(prompts_.specs()[prompt].name(), static_cast<int64_t>(p.ids.size()), made.rows,
                                       made.rows, p.target);
    made.costs.effect.seconds = made.costs.effect.dense_seconds = costs.effect.seconds;
    made.costs.layers = costs.layers;
    return made;
}

mix_effect mix_stage::compute(const layer_mix & mix, size_t prompt) {
    const reference & base = dense(prompt);
    const plan planned = plan_of(mix);
    if (!planned.any_sparse()) {
        return base.costs;
    }
    mix_effect e;
    mix_effect costs;
    std::vector<token_id> continuation = base.continuation;
    const logit_rows rows = compute_rows(mix, planned, prompt, continuation, costs);
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
