#include "profile/ablation_stage.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

namespace tmx {
namespace {

using json = record_store::json;

// Ways of computing a prompt, as records name them; llama.cpp's are the bare sets.
constexpr const char * k_dense_way = "dense in the probe";

std::string way_of(const unit & u) {
    return name_of(u) + " in the probe";
}

// `changed` against the probe's dense rows.
set_effect effect_in_probe(const probe_prompt & prompt, const std::string & name, const logit_rows & dense,
                           const logit_rows & changed) {
    set_effect e = effect_of_rows(name, static_cast<int64_t>(prompt.ids.size()), dense, changed, prompt.target);
    e.place = ablation_place::probe;
    return e;
}

}  // namespace

json gap_json(const set_effect & gap) {
    json record = set_json(gap, format_units({}));
    record["type"] = "arithmetic";
    return record;
}

ablation_stage::ablation_stage(const profile_settings & settings, const prompt_pool & prompts, record_store & records,
                               set_stage & sets, shared_probe & probe)
    : settings_(settings), prompts_(prompts), records_(records), sets_(sets), probe_(probe) {}

bool ablation_stage::on_file(const unit & u, size_t prompt) {
    return in_probe() ? records_.find(sets_.record_key(way_of(u), prompt)) != nullptr : sets_.on_file({&u, 1}, prompt);
}

double ablation_stage::weight_of(const unit & u, size_t prompt) {
    const double whole = stage_clock::weight_of(prompts_.n_tokens(prompt));
    const auto n_layer = static_cast<double>(sets_.shape().n_layer);
    return in_probe() ? whole * (n_layer - u.layer) / n_layer : whole;
}

// What compute_dense() takes: nothing if no unit is to be measured, else the probe's pass and maybe llama.cpp's.
double ablation_stage::weight_of_dense(std::span<const unit> units, size_t prompt) {
    if (!in_probe() || std::all_of(units.begin(), units.end(), [&](const unit & u) { return on_file(u, prompt); })) {
        return 0;
    }
    const bool known = records_.find(sets_.record_key(k_dense_way, prompt)) != nullptr;
    return (known ? 1 : 2) * stage_clock::weight_of(prompts_.n_tokens(prompt));
}

probe_model & ablation_stage::open_probe(stage_clock & clock, std::function<void(double share)> progress) {
    return probe_.get([&](const std::string & note) { clock.note(note); }, std::move(progress));
}

// The probe's dense pass. The continuation is on file with the gap, so that a run that goes on compares the same rows.
void ablation_stage::compute_dense(size_t prompt, stage_clock & clock) {
    const std::string key = sets_.record_key(k_dense_way, prompt);
    const json * record = records_.find(key);
    const double first_share = record != nullptr ? 0 : 0.5;  // llama.cpp's
    probe_model & probe =
        open_probe(clock, [&](double share) { clock.within(first_share + (1 - first_share) * share); });
    const std::vector<token_id> continuation =
        record != nullptr ? record->at("continuation").get<std::vector<token_id>>() : sets_.dense(prompt).continuation;
    dense_rows_ = probe.dense(prompts_.prompt(prompt).ids, continuation);
    if (record == nullptr) {
        json made = gap_json(effect_in_probe(prompts_.prompt(prompt), prompts_.specs()[prompt].name(), dense_rows_,
                                             sets_.dense(prompt).rows));
        made["continuation"] = continuation;
        record = &records_.append(key, made);
    }
    clock.end(fmt::format("{}, dense: llama.cpp's arithmetic is KL {:.2e} away", prompts_.specs()[prompt].name(),
                          record->at("first_kl").get<double>()));
}

set_effect ablation_stage::measure_one(const unit & u, size_t prompt, stage_clock & clock) {
    if (!in_probe()) {
        return sets_.measure({&u, 1}, prompt);
    }
    const std::string name = prompts_.specs()[prompt].name();
    const std::string key = sets_.record_key(way_of(u), prompt);
    const json * record = records_.find(key);
    if (record == nullptr) {
        probe_model & probe = open_probe(clock, [&](double share) { clock.within(share); });
        const set_effect e = effect_in_probe(prompts_.prompt(prompt), name, dense_rows_, probe.ablated(u));
        record = &records_.append(key, set_json(e, format_units({&u, 1})));
    }
    return effect_of_json(*record, name);
}

double ablation_stage::weight(std::span<const unit> units) {
    double sum = 0;
    for (const size_t prompt : prompts_.numbers(false)) {
        sum += weight_of_dense(units, prompt);
        for (const unit & u : units) {
            sum += on_file(u, prompt) ? 0 : weight_of(u, prompt);
        }
    }
    return sum;
}

ablation_result ablation_stage::measure(std::span<const unit> units, const progress_sink & sink) {
    const std::vector<size_t> numbers = prompts_.numbers(false);
    stage_clock clock("ablation", weight(units), sink);
    ablation_result result;
    result.effects.resize(units.size());
    // Prompt by prompt: each one's dense answer is needed once.
    for (const size_t prompt : numbers) {
        const std::string name = prompts_.specs()[prompt].name();
        if (const double dense_weight = weight_of_dense(units, prompt); dense_weight > 0) {
            clock.begin(name + ", dense", dense_weight);
            compute_dense(prompt, clock);
        }
        for (size_t i = 0; i < units.size(); ++i) {
            const std::string item = fmt::format("{}, {} alone", name, name_of(units[i]));
            const bool known = on_file(units[i], prompt);
            if (!known) {
                clock.begin(item, weight_of(units[i], prompt));
            }
            result.effects[i].push_back(measure_one(units[i], prompt, clock));
            if (!known) {
                clock.end(fmt::format("{}: KL {:.2e}", item, result.effects[i].back().distance.first_kl));
            }
        }
        if (in_probe()) {
            result.gaps.push_back(effect_of_json(*records_.find(sets_.record_key(k_dense_way, prompt)), name));
        }
        sets_.forget(prompt);
    }
    return result;
}

}  // namespace tmx
