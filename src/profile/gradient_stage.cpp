#include "profile/gradient_stage.h"

#include <fmt/core.h>

#include <cmath>

#include "measure/stage_clock.h"
#include "runtime/failure.h"

namespace tmx {
namespace {

using json = record_store::json;

prompt_gradient gradient_of_json(const json & record, const std::string & name) {
    prompt_gradient g;
    g.name = name;
    g.n_tokens = record.at("n_tokens");
    g.target = record.at("target");
    g.log_probability = record.at("log_probability");
    g.n_pairs = record.at("pairs");
    for (const json & head : record.at("sums")) {
        head_sums sums{};
        for (size_t s = 0; s < sums.size(); ++s) {
            const json & values = head.at(s);
            sums[s] = {values.at(0), values.at(1), values.at(2), values.at(3)};
        }
        g.sums.push_back(sums);
    }
    return g;
}

// What is no number can be neither ordered nor written down.
void check_finite(const prompt_gradient & g) {
    bool finite = std::isfinite(g.log_probability);
    for (const head_sums & head : g.sums) {
        for (const section_sums & s : head) {
            finite = finite && std::isfinite(s.gradient) && std::isfinite(s.contribution) &&
                     std::isfinite(s.score_gradient) && std::isfinite(s.mass);
        }
    }
    if (!finite) {
        throw failure(g.name + ": the gradients overflow f32, so they say nothing; --method ablation may");
    }
}

}  // namespace

json gradient_json(const prompt_gradient & g) {
    json sums = json::array();
    for (const head_sums & head : g.sums) {
        json sections = json::array();
        for (const section_sums & s : head) {
            sections.push_back({s.gradient, s.contribution, s.score_gradient, s.mass});
        }
        sums.push_back(std::move(sections));
    }
    return {{"type", "gradient"},
            {"prompt", g.name},
            {"n_tokens", g.n_tokens},
            {"target", g.target},
            {"log_probability", g.log_probability},
            {"pairs", g.n_pairs},
            {"sums", std::move(sums)}};
}

double weight_of_gradients(const record_keys & keys, const prompt_pool & prompts, record_store & records) {
    double weight = 0;
    for (const size_t number : prompts.numbers(false)) {
        if (records.find(keys.gradient(prompts.prompt(number))) == nullptr) {
            weight += stage_clock::weight_of(prompts.n_tokens(number));
        }
    }
    return weight;
}

std::vector<prompt_gradient> measure_gradients(const record_keys & keys, const prompt_pool & prompts,
                                               record_store & records, shared_probe & probe,
                                               const progress_sink & sink) {
    const std::vector<size_t> numbers = prompts.numbers(false);
    stage_clock clock("gradient", weight_of_gradients(keys, prompts, records), sink);
    std::vector<prompt_gradient> gradients;
    for (const size_t number : numbers) {
        const probe_prompt & prompt = prompts.prompt(number);
        const std::string name = prompts.specs()[number].name();
        const std::string key = keys.gradient(prompt);
        const json * record = records.find(key);
        if (record == nullptr) {
            probe_model & model = probe.get([&](const std::string & note) { clock.note(note); },
                                            [&](double share) { clock.within(share); });
            clock.begin(name, stage_clock::weight_of(prompts.n_tokens(number)));
            gradient_result result = model.gradient(prompt.ids, prompt.target);
            const prompt_gradient g{name,           prompts.n_tokens(number), result.target, result.log_probability,
                                    result.n_pairs, std::move(result.sums)};
            check_finite(g);
            record = &records.append(key, gradient_json(g));
            clock.end(fmt::format("{}: {} tokens, log probability of the target {:.2f}", name, g.n_tokens,
                                  g.log_probability));
        }
        // From the record, also when it was just measured: a resumed run has the same bits.
        gradients.push_back(gradient_of_json(*record, name));
    }
    return gradients;
}

}  // namespace tmx
