#include "profile/report_drawings.h"

#include <fmt/core.h>

#include <set>

#include "profile/page/svg.h"

namespace tmx {
namespace {

// Mean |dy/dA| by layer of one section: the curves of the paper's Figure 1. (layer, value)
std::vector<std::pair<double, double>> gradient_curve(const profile_result & r, section where) {
    std::vector<std::pair<double, double>> curve;
    const std::vector<double> scores = layer_scores(r.gradients, r.facts.n_head, *find_score("gradient"), where);
    for (size_t layer = 0; layer < scores.size(); ++layer) {
        curve.emplace_back(static_cast<double>(layer), scores[layer]);
    }
    return curve;
}

std::string gradient_chart(const profile_result & r) {
    svg_chart chart;
    chart.title = "Mean gradient by layer and section, prompts of " + lengths_text({}, r.gradients);
    chart.x_label = "layer";
    chart.y_label = "mean |dy/dA|";
    chart.log_y = true;
    chart.whole_x = true;
    for (const section s : k_sections) {
        chart.series.push_back({name_of(s), gradient_curve(r, s), true});
    }
    return draw_chart(chart);
}

std::string heat_map(const profile_settings & settings, const profile_result & r) {
    const score_kind * kind = find_score(settings.score);
    if (kind == nullptr) {
        kind = find_score("contribution");
    }
    const std::vector<double> scores = head_scores(r.gradients, *kind, section::middle);
    const auto n_head = static_cast<size_t>(r.facts.n_head);
    const size_t n_layer = scores.size() / n_head;
    svg_heat_map map;
    map.title = "Middle section of each head: " + describe_score(std::string(kind->name));
    map.mark_name = "triangle in the plan";
    map.x_label = "layer";
    map.y_label = "head";
    map.values.assign(n_head, std::vector<double>(n_layer));
    map.marked.assign(n_head, std::vector<bool>(n_layer));
    for (size_t i = 0; i < scores.size(); ++i) {
        map.values[i % n_head][i / n_head] = scores[i];
    }
    for (const unit & u : chosen_units(r)) {
        for (size_t head = 0; head < n_head; ++head) {
            if (u.head < 0 || static_cast<size_t>(u.head) == head) {
                map.marked[head][static_cast<size_t>(u.layer)] = true;
            }
        }
    }
    return draw_heat_map(map);
}

// In which arithmetic, and what that of llama.cpp does without any change.
std::string how_ablated(const profile_settings & settings, const profile_result & r) {
    if (settings.ablate_in == ablation_place::llama_cpp) {
        return "Computed in llama.cpp, with its rounding.";
    }
    const effect_summary gap = summarise(r.ablation.gaps);
    return fmt::format(
        "Computed in f32. llama.cpp's own rounding on this file, all layers dense, is {} nats away from that, and {} "
        "for the following tokens.",
        html_number(gap.first_kl), html_number(gap.following_kl));
}

std::string ablation_chart(const profile_settings & settings, const profile_result & r) {
    svg_chart chart;
    chart.title = std::string("Damage of each ") + (settings.per_head ? "head" : "layer") +
                  " made triangle alone, prompts of " + lengths_text(r.ablation.effects.front(), {});
    chart.x_label = settings.per_head ? "head, in order of layers" : "layer";
    chart.y_label = "first-token KL, nats";
    chart.log_y = true;
    svg_series series{"alone", {}, false};
    for (size_t u = 0; u < r.units.size(); ++u) {
        series.points.emplace_back(static_cast<double>(settings.per_head ? static_cast<int32_t>(u) : r.units[u].layer),
                                   r.unit_kl[u]);
        chart.point_labels.push_back(name_of(r.units[u]));
    }
    chart.whole_x = true;
    chart.series.push_back(std::move(series));
    if (settings.how == choose_by::kl_budget) {
        chart.y_mark = {settings.value, "budget of the whole set, " + show_number(settings.value)};
    }
    return draw_chart(chart);
}

// "" where every score is zero: prompts are too short.
std::string agreement_chart(const profile_settings & settings, const profile_result & r) {
    const score_kind * kind = find_score(settings.score);
    if (kind == nullptr) {
        kind = find_score("contribution");
    }
    const std::vector<double> scores = unit_scores(r, *kind, section::middle);
    svg_chart chart;
    chart.title = "Does the gradient predict the damage?";
    chart.x_label = describe_score(std::string(kind->name)) + ", middle section";
    chart.y_label = "first-token KL alone, nats";
    chart.log_x = true;
    chart.log_y = true;
    svg_series series{"", {}, false};
    for (size_t u = 0; u < scores.size(); ++u) {
        if (scores[u] > 0) {
            series.points.emplace_back(scores[u], r.unit_kl[u]);
            chart.point_labels.push_back(name_of(r.units[u]));
        }
    }
    if (series.points.empty()) {
        return "";
    }
    chart.series.push_back(std::move(series));
    return draw_chart(chart);
}

std::string growth_chart(const profile_settings & settings, const profile_result & r) {
    svg_chart chart;
    const std::string units = settings.per_head ? "heads" : "layers";
    chart.title = "Damage of the growing set of triangle " + units;
    chart.x_label = "triangle " + units;
    chart.whole_x = true;
    chart.y_label = "mean first-token KL, nats";
    svg_series choosing{"prompts that choose", {{0, 0}}, true};
    for (const measured_size & m : r.curve) {
        choosing.points.emplace_back(static_cast<double>(m.size), m.mean_kl);
    }
    svg_series held_out{"prompts kept back", {}, false};
    for (const measured_size & m : r.chosen.measured) {
        if (m.held_out) {
            held_out.points.emplace_back(static_cast<double>(m.size), m.mean_kl);
        }
    }
    chart.series.push_back(std::move(choosing));
    if (!held_out.points.empty()) {
        chart.series.push_back(std::move(held_out));
    }
    chart.x_mark = {static_cast<double>(r.chosen.size), fmt::format("the plan, {} {}", r.chosen.size, units)};
    if (settings.how == choose_by::kl_budget) {
        chart.y_mark = {settings.value, "budget, " + show_number(settings.value)};
    }
    return draw_chart(chart);
}

}  // namespace

std::string lengths_text(const std::vector<set_effect> & effects, const std::vector<prompt_gradient> & gradients) {
    std::set<int64_t> lengths;
    for (const set_effect & e : effects) {
        lengths.insert(e.n_tokens);
    }
    for (const prompt_gradient & g : gradients) {
        lengths.insert(g.n_tokens);
    }
    if (lengths.empty()) {
        return "";
    }
    const std::string longest = show_number(static_cast<double>(*lengths.rbegin()));
    return lengths.size() == 1 ? longest + " tokens"
                               : show_number(static_cast<double>(*lengths.begin())) + " to " + longest + " tokens";
}

std::vector<report_drawing> report_drawings(const profile_settings & settings, const profile_result & r) {
    std::vector<report_drawing> drawings;
    const auto add = [&](const char * name, const std::string & heading, const std::string & note, std::string svg) {
        if (!svg.empty()) {
            drawings.push_back({name, heading, note, std::move(svg)});
        }
    };
    if (!r.curve.empty() || r.chosen.checked) {
        add("kl", settings.per_head ? "How many heads" : "How many layers",
            "Sets grow in the order of the score. The first token's KL divergence from dense, mean over prompts.",
            growth_chart(settings, r));
    }
    if (!r.gradients.empty()) {
        add("gradient", "Gradient by layer and section",
            "Mean over heads, pairs and prompts of |&part;y/&part;A|, y the logit of the first generated token. "
            "Triangle attention skips the middle section.",
            gradient_chart(r));
        add("heads", "Heads", "Darker matters more; the scale is logarithmic.", heat_map(settings, r));
    }
    if (!r.unit_kl.empty()) {
        add("ablation", "Ablation",
            "What making one alone triangle does: mean KL divergence of the first token from dense. A point at the "
            "foot "
            "may be 0. " +
                how_ablated(settings, r),
            ablation_chart(settings, r));
    }
    if (!r.qualities.empty()) {
        add("agreement", "Do gradients predict damage?",
            "Spearman's rank correlation between each score and the measured KL.", agreement_chart(settings, r));
    }
    return drawings;
}

}  // namespace tmx
