#include "planner/planner_result.h"

namespace tmx {
namespace {

double beyond_floor(const planner_result & r, size_t number, size_t entry) {
    const measured_choice & choice = r.choices[number][entry];
    const double at_long = choice.at_long.measured ? choice.at_long.mean_kl : 0;
    return std::max(std::max(choice.at_short.mean_kl, at_long) - r.floors[number], 0.0);
}

// Of all that a layer's heads do with the entry; equal parts, where they do nothing.
double part_of_layer(const planner_result & r, size_t number, size_t entry) {
    double all = 0;
    double n = 0;
    for (size_t i = r.layers.size(); i < r.choices.size(); ++i) {
        const bool of_layer = candidate(r, i).layer == candidate(r, number).layer;
        all += of_layer ? beyond_floor(r, i, entry) : 0;
        n += of_layer ? 1 : 0;
    }
    return all > 0 ? beyond_floor(r, number, entry) / all : 1 / n;
}

size_t layer_of(const planner_result & r, size_t number) {
    const auto found = std::find(r.layers.begin(), r.layers.end(), candidate(r, number).layer);
    return static_cast<size_t>(found - r.layers.begin());
}

// Where all heads that may take an entry take the same, their layer does.
void join_heads(const planner_result & r, layer_mix & mix) {
    for (const unit & first : r.heads) {
        layer_entry & taken = mix[static_cast<size_t>(first.layer)];
        const int32_t entry = taken.of(static_cast<size_t>(first.head));
        const bool joined = !taken.of_head.empty() && std::all_of(r.heads.begin(), r.heads.end(), [&](const unit & u) {
            return u.layer != first.layer || taken.of(static_cast<size_t>(u.head)) == entry;
        });
        if (joined) {
            taken = {entry, {}};
        }
    }
}

}  // namespace

unit candidate(const planner_result & r, size_t number) {
    return number < r.layers.size() ? unit{r.layers[number], -1} : r.heads[number - r.layers.size()];
}

bool by_head(const planner_result & r, size_t layer) {
    return std::any_of(r.heads.begin(), r.heads.end(), [&](const unit & u) { return u.layer == r.layers[layer]; });
}

layer_mix mix_of_combination(const planner_result & r, const combination & c) {
    layer_mix mix(static_cast<size_t>(r.facts.n_layer));
    for (size_t i = 0; i < c.entries.size(); ++i) {
        const unit u = candidate(r, i);
        layer_entry & taken = mix[static_cast<size_t>(u.layer)];
        if (c.entries[i] < 0) {
            continue;
        }
        if (u.head < 0) {
            taken.entry = c.entries[i];
        } else {
            taken.of_head.resize(static_cast<size_t>(r.facts.n_head), k_dense);
            taken.of_head[static_cast<size_t>(u.head)] = c.entries[i];
        }
    }
    join_heads(r, mix);
    return mix;
}

double damage_counted(const planner_result & r, size_t number, size_t entry) {
    return number < r.layers.size() ? beyond_floor(r, number, entry)
                                    : beyond_floor(r, layer_of(r, number), entry) * part_of_layer(r, number, entry);
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
        for (size_t i = 0; i < c.entries.size(); ++i) {
            const layer_cost & own = e.layers[static_cast<size_t>(candidate(r, i).layer)];
            const measured_choice * taken =
                c.entries[i] < 0 ? nullptr : &r.choices[i][static_cast<size_t>(c.entries[i])];
            kept -= taken == nullptr ? 0 : (own.kept + own.skipped) * (taken->start_share - taken->kept_share);
        }
    }
    return all > 0 ? kept / all : 1;
}

double saved_seconds(const planner_result & r, const combination & c) {
    double saved = 0;
    for (size_t i = 0; i < c.entries.size(); ++i) {
        saved += c.entries[i] < 0 ? 0 : r.choices[i][static_cast<size_t>(c.entries[i])].saved;
    }
    return saved;
}

double predicted_seconds(const planner_result & r, const combination & c) {
    return median_prefill(at_longest(r, r.dense)) - saved_seconds(r, c);
}

}  // namespace tmx
