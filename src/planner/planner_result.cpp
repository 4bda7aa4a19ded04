#include "planner/planner_result.h"

namespace tmx {

layer_mix mix_of_combination(const planner_result & r, const combination & c) {
    layer_mix mix(static_cast<size_t>(r.facts.n_layer), k_dense);
    for (size_t i = 0; i < r.layers.size(); ++i) {
        mix[static_cast<size_t>(r.layers[i])] = c.entries[i];
    }
    return mix;
}

double damage_counted(const planner_result & r, size_t layer, size_t entry) {
    const measured_choice & choice = r.choices[layer][entry];
    const double at_long = choice.at_long.measured ? choice.at_long.mean_kl - r.start_grows : 0;
    return std::max(std::max(choice.at_short.mean_kl, at_long) - r.floors[layer], 0.0);
}

const measured_mix * measured_taken(const planner_result & r, const planner_search & s, bool held_out) {
    const layer_mix mix = mix_of_combination(r, s.taken());
    const auto found = std::find_if(s.measured.begin(), s.measured.end(),
                                    [&](const measured_mix & m) { return m.held_out == held_out && m.mix == mix; });
    return found == s.measured.end() ? nullptr : &*found;
}

std::span<const mix_effect> at_longest(const planner_result & r, const measured_mix & m) {
    const std::vector<prompt_group> & groups = m.held_out ? r.held_out : r.choosing;
    return std::span(m.effects).last(groups.back().prompts.size());
}

double median_prefill(std::span<const mix_effect> effects) {
    std::vector<double> seconds;
    for (const mix_effect & e : effects) {
        seconds.push_back(e.effect.seconds);
    }
    return median(std::move(seconds));
}

double share_of_pairs(std::span<const mix_effect> effects) {
    std::vector<layer_cost> sums;
    for (const mix_effect & e : effects) {
        sums.push_back(sum_of(e.layers));
    }
    return kept_share(sums);
}

double predicted_share(const planner_result & r, const combination & c) {
    double all = 0;
    double kept = 0;
    for (const mix_effect & e : at_longest(r, r.dense)) {
        const layer_cost without = sum_of(e.layers);
        all += without.kept + without.skipped;
        kept += without.kept;
        for (size_t i = 0; i < r.layers.size(); ++i) {
            const layer_cost & own = e.layers[static_cast<size_t>(r.layers[i])];
            const measured_choice * taken =
                c.entries[i] < 0 ? nullptr : &r.choices[i][static_cast<size_t>(c.entries[i])];
            kept -= taken == nullptr ? 0 : (own.kept + own.skipped) * (taken->start_share - taken->kept_share);
        }
    }
    return all > 0 ? kept / all : 1;
}

double saved_seconds(const planner_result & r, const combination & c) {
    double saved = 0;
    for (size_t i = 0; i < r.layers.size(); ++i) {
        saved += c.entries[i] < 0 ? 0 : r.choices[i][static_cast<size_t>(c.entries[i])].saved;
    }
    return saved;
}

double predicted_seconds(const planner_result & r, const combination & c) {
    return median_prefill(at_longest(r, r.dense)) - saved_seconds(r, c);
}

}  // namespace tmx
