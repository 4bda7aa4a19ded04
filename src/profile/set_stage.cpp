#include "profile/set_stage.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "profile/plan_applied.h"
#include "runtime/answer_rows.h"
#include "runtime/failure.h"
#include "trianglemix/backend_control.h"

namespace tmx {
namespace {

using json = record_store::json;

// The backend takes no node of fewer rows, and what it leaves is computed exactly.
constexpr int64_t k_least_rows = TMX_DEFAULT_MIN_ROWS;

}  // namespace

set_effect effect_of_rows(const std::string & prompt, int64_t n_tokens, const logit_rows & base,
                          const logit_rows & changed, int32_t target) {
    set_effect e;
    e.prompt = prompt;
    e.n_tokens = n_tokens;
    e.distance = compare_rows(base, changed);
    const auto at = static_cast<size_t>(target >= 0 ? target : argmax(base.front()));
    e.target_dense = log_softmax(base.front()).at(at);
    e.target_set = log_softmax(changed.front()).at(at);
    const fidelity & d = e.distance;
    if (!std::isfinite(d.first_kl) || !std::isfinite(d.following_kl)) {
        throw failure(prompt + ": the model's logits are no finite numbers, so nothing can be compared");
    }
    return e;
}

set_effect effect_of_json(const json & record, const std::string & prompt) {
    set_effect e;
    e.prompt = prompt;
    e.n_tokens = record.at("n_tokens");
    e.distance.first_kl = record.at("first_kl");
    e.distance.following_kl = record.at("following_kl");
    e.distance.worst_kl = record.at("worst_kl");
    e.distance.n_positions = record.at("n_positions");
    e.distance.n_following = e.distance.n_positions - 1;
    e.distance.n_same_top = record.at("n_same_top");
    e.target_dense = record.at("target_dense");
    e.target_set = record.at("target_set");
    e.place = record.value("computed_in", "llama.cpp") == "probe" ? ablation_place::probe : ablation_place::llama_cpp;
    if (e.place == ablation_place::llama_cpp) {
        e.seconds = record.at("prefill_s");
        e.dense_seconds = record.at("dense_prefill_s");
    }
    return e;
}

record_store::json set_json(const set_effect & e, const std::string & set) {
    const fidelity & d = e.distance;
    json record = {{"type", "set"},
                   {"set", set},
                   {"prompt", e.prompt},
                   {"n_tokens", e.n_tokens},
                   {"computed_in", name_of(e.place)},
                   {"first_kl", d.first_kl},
                   {"following_kl", d.following_kl},
                   {"worst_kl", d.worst_kl},
                   {"n_positions", d.n_positions},
                   {"n_same_top", d.n_same_top},
                   {"target_dense", e.target_dense},
                   {"target_set", e.target_set}};
    if (e.place == ablation_place::llama_cpp) {
        record["prefill_s"] = e.seconds;
        record["dense_prefill_s"] = e.dense_seconds;
    }
    return record;
}

double mean_first_kl(std::span<const set_effect> effects) {
    double sum = 0;
    for (const set_effect & e : effects) {
        sum += e.distance.first_kl;
    }
    return sum / static_cast<double>(effects.size());
}

effect_summary summarise(std::span<const set_effect> effects) {
    effect_summary s;
    s.first_kl = mean_first_kl(effects);
    for (const set_effect & e : effects) {
        s.worst_first_kl = std::max(s.worst_first_kl, e.distance.first_kl);
        s.following_kl += e.distance.following_kl / static_cast<double>(effects.size());
        s.n_same_top += e.distance.n_same_top;
        s.n_positions += e.distance.n_positions;
    }
    return s;
}

set_stage::set_stage(const profile_settings & settings, const record_keys & keys, backend & b, const model & m,
                     const prompt_pool & prompts, record_store & records)
    : settings_(settings),
      keys_(keys),
      backend_(b),
      model_(m),
      prompts_(prompts),
      records_(records),
      shape_(shape_of(m.facts())) {}

std::string set_stage::record_key(const std::string & way, size_t prompt) const {
    return keys_.effect(prompts_.prompt(prompt), way);
}

bool set_stage::on_file(std::span<const unit> set, size_t prompt) const {
    return records_.find(record_key(format_units(set), prompt)) != nullptr;
}

void set_stage::forget(size_t prompt) {
    references_.erase(prompt);
}

arm set_stage::arm_of(std::span<const unit> set, int64_t n_prompt) const {
    arm a;
    a.name = format_units(set);
    a.precision = settings_.precision;
    a.min_last = std::max(settings_.shape.n_last, k_least_rows);
    a.context.n_ctx = context_for(n_prompt + settings_.n_following + 1);
    a.context.n_ubatch = settings_.n_ubatch;
    a.context.n_threads = settings_.n_threads;
    a.context.stop = settings_.stop;
    if (!set.empty()) {
        plan p = plan_of_units(set, shape_, settings_.shape);
        p.arithmetic = parse_precision(settings_.precision).value;
        a.plan_json = write_plan(p);
    }
    return a;
}

// Logits of the first token and behind each token of `continuation`; fills in `continuation` when it is empty.
logit_rows set_stage::rows_of(const arm & how, std::span<const unit> set, const std::vector<token_id> & ids,
                              std::vector<token_id> & continuation, double & seconds) {
    const std::unique_ptr<session> s = open_arm(backend_, model_, how);
    const timed_prefill prefilled = prefill_arm(backend_, how, *s, ids);
    seconds = prefilled.seconds;
    if (!set.empty()) {
        const std::string problem = why_not_applied(parse_statistics(backend_.statistics(s->backend_context())), set,
                                                    shape_, settings_.shape, static_cast<int64_t>(ids.size()));
        if (!problem.empty()) {
            throw failure(problem);
        }
    }
    return answer_rows(backend_, model_, how, *s, ids, prefilled.first, settings_.n_following, continuation);
}

const set_stage::reference & set_stage::dense(size_t prompt) {
    const auto found = references_.find(prompt);
    if (found != references_.end()) {
        return found->second;
    }
    const std::vector<token_id> & ids = prompts_.prompt(prompt).ids;
    reference made;
    made.rows = rows_of(arm_of({}, static_cast<int64_t>(ids.size())), {}, ids, made.continuation, made.seconds);
    return references_.emplace(prompt, std::move(made)).first->second;
}

set_effect set_stage::measure(std::span<const unit> set, size_t prompt) {
    return measure_arm(arm_of(set, prompts_.n_tokens(prompt)), set, prompt);
}

set_effect set_stage::measure_arm(const arm & how, std::span<const unit> set, size_t prompt) {
    const std::string key = record_key(how.name, prompt);
    const std::string name = prompts_.specs()[prompt].name();
    const json * record = records_.find(key);
    if (record == nullptr) {
        const probe_prompt & p = prompts_.prompt(prompt);
        const reference & base = dense(prompt);
        std::vector<token_id> continuation = base.continuation;
        double seconds = 0;
        const logit_rows rows = rows_of(how, set, p.ids, continuation, seconds);
        set_effect e = effect_of_rows(name, static_cast<int64_t>(p.ids.size()), base.rows, rows, p.target);
        e.seconds = seconds;
        e.dense_seconds = base.seconds;
        record = &records_.append(key, set_json(e, how.name));
    }
    return effect_of_json(*record, name);
}

std::vector<arm> set_stage::yardsticks(int64_t n_prompt) const {
    arm stock = arm_of({}, n_prompt);
    stock.ours = false;
    stock.name = "stock llama.cpp, flash attention";
    arm without = stock;
    without.name = "stock llama.cpp, no flash attention, ubatch 512";
    without.context.flash_attention = false;
    without.context.n_ubatch = 512;
    arm small_cache = stock;
    small_cache.name = "stock llama.cpp, q8_0 cache";
    small_cache.context.kv = kv_type::q8_0;
    return {stock, without, small_cache};
}

// A prompt's dense answer is computed with the first measurement that needs it.
double set_stage::weight_of(size_t prompt) const {
    return (references_.contains(prompt) ? 1 : 2) * stage_clock::weight_of(prompts_.n_tokens(prompt));
}

double set_stage::seconds_of_prefill(int64_t n_tokens) {
    const std::vector<token_id> & ids = prompts_.prompt(0).ids;
    const auto n = std::min(n_tokens, static_cast<int64_t>(ids.size()));
    const arm how = arm_of({}, n);
    const std::unique_ptr<session> s = open_arm(backend_, model_, how);
    s->warm_up();
    // Other programs' bursts would be taken for this machine's speed.
    constexpr int k_times = 3;
    double least = std::numeric_limits<double>::infinity();
    for (int i = 0; i < k_times; ++i) {
        least = std::min(least, prefill_arm(backend_, how, *s, std::span(ids).first(static_cast<size_t>(n))).seconds);
    }
    return least;
}

std::vector<std::pair<std::string, set_effect>> set_stage::measure_yardsticks(std::span<const size_t> prompts,
                                                                              const progress_sink & sink) {
    double weight = 0;
    for (const size_t prompt : prompts) {
        for (const arm & how : yardsticks(prompts_.n_tokens(prompt))) {
            const bool known = records_.find(record_key(how.name, prompt)) != nullptr;
            weight += known ? 0 : stage_clock::weight_of(prompts_.n_tokens(prompt));
        }
    }
    stage_clock clock("beside", weight, sink);
    std::vector<std::pair<std::string, set_effect>> effects;
    for (const size_t prompt : prompts) {
        for (const arm & how : yardsticks(prompts_.n_tokens(prompt))) {
            const bool known = records_.find(record_key(how.name, prompt)) != nullptr;
            const std::string item = fmt::format("{}, {}", prompts_.specs()[prompt].name(), how.name);
            if (!known) {
                clock.begin(item, stage_clock::weight_of(prompts_.n_tokens(prompt)));
            }
            effects.emplace_back(how.name, measure_arm(how, {}, prompt));
            if (!known) {
                clock.end(fmt::format("{}: KL {:.2e}", item, effects.back().second.distance.first_kl));
            }
        }
    }
    return effects;
}

std::vector<set_effect> set_stage::measure_all(const std::string & stage, std::span<const unit> set,
                                               std::span<const size_t> prompts, const progress_sink & sink) {
    double weight = 0;
    for (const size_t prompt : prompts) {
        weight += on_file(set, prompt) ? 0 : weight_of(prompt);
    }
    stage_clock clock(stage, weight, sink);
    std::vector<set_effect> effects;
    for (const size_t prompt : prompts) {
        const bool known = on_file(set, prompt);
        if (!known) {
            clock.begin(prompts_.specs()[prompt].name(), weight_of(prompt));
        }
        effects.push_back(measure(set, prompt));
        if (!known) {
            clock.end(
                fmt::format("{}: first-token KL {:.2e}", effects.back().prompt, effects.back().distance.first_kl));
        }
    }
    return effects;
}

}  // namespace tmx
