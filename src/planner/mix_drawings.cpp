#include "planner/mix_drawings.h"

#include <fmt/core.h>

#include <functional>
#include <map>

#include "profile/page/svg.h"

namespace tmx {
namespace {

using points = std::vector<std::pair<double, double>>;

// Where a combination is expected to lie, and where a measured mix lies, on the axis of a drawing.
struct cost_axis {
    std::function<double(const combination & c)> predicted;
    std::function<double(const measured_mix & m)> measured;
};

points predicted_line(const planner_search & s, const cost_axis & cost) {
    points line;
    for (const combination & c : s.frontier) {
        line.emplace_back(cost.predicted(c), c.damage);
    }
    return line;
}

points measured_points(const planner_search & s, const cost_axis & cost, bool held_out) {
    points found;
    for (const measured_mix & m : s.measured) {
        if (m.held_out == held_out) {
            found.emplace_back(cost.measured(m), m.worst_kl);
        }
    }
    return found;
}

void add_series(svg_chart & chart, const std::string & name, points found, bool line) {
    if (!found.empty()) {
        chart.series.push_back({name, std::move(found), line});
    }
}

svg_chart frontier_chart(const planner_settings & settings, const planner_result & r, const cost_axis & cost) {
    svg_chart chart;
    chart.y_label = "KL, nats";
    chart.log_y = true;
    const bool whole_menu = r.menu.size() > 1;
    add_series(chart, whole_menu ? "mix, expected" : "expected", predicted_line(r.mix, cost), true);
    add_series(chart, "measured", measured_points(r.mix, cost, false), false);
    add_series(chart, "on prompts kept back", measured_points(r.mix, cost, true), false);
    if (r.triangle) {
        add_series(chart, "Triangle alone, expected", predicted_line(*r.triangle, cost), true);
        add_series(chart, "Triangle alone, measured", measured_points(*r.triangle, cost, false), false);
    }
    std::map<std::string, points> families;
    for (size_t entry = 0; entry < r.everywhere.size(); ++entry) {
        const measured_mix & m = r.everywhere[entry];
        families[r.menu[entry].family].emplace_back(cost.measured(m), m.worst_kl);
    }
    for (auto & [family, found] : families) {
        add_series(chart, family + " in every layer", std::move(found), false);
    }
    chart.y_mark = {settings.budget(), "budget, " + show_number(settings.budget())};
    return chart;
}

std::string longest_text(const planner_result & r) {
    return show_number(static_cast<double>(r.choosing.back().n_tokens)) + " tokens";
}

std::string pairs_chart(const planner_settings & settings, const planner_result & r) {
    svg_chart chart = frontier_chart(settings, r,
                                     {[&](const combination & c) { return 100 * predicted_share(r, c); },
                                      [&](const measured_mix & m) { return 100 * share_of_pairs(at_longest(r, m)); }});
    chart.title = "Damage against attention pairs computed";
    chart.x_label = "% of the attention pairs, prompts of " + longest_text(r);
    chart.x_from_zero = true;
    return draw_chart(chart);
}

std::string seconds_chart(const planner_settings & settings, const planner_result & r) {
    svg_chart chart = frontier_chart(settings, r,
                                     {[&](const combination & c) { return predicted_seconds(r, c); },
                                      [&](const measured_mix & m) { return median_prefill(at_longest(r, m)); }});
    chart.title = "Damage against time to first token";
    chart.x_label = "seconds, prompts of " + longest_text(r);
    chart.x_mark = {median_prefill(at_longest(r, r.dense)), "dense"};
    return draw_chart(chart);
}

bool takes(const layer_entry & layer, int32_t entry) {
    return layer.entry == entry || std::find(layer.of_head.begin(), layer.of_head.end(), entry) != layer.of_head.end();
}

std::string choices_map(const planner_result & r) {
    svg_heat_map map;
    map.title = "Damage of each entry in each layer alone, nats";
    map.mark_name = "in the plan";
    map.x_label = "layer";
    map.y_label = "entry";
    const layer_mix mix = mix_of_combination(r, r.mix.taken());
    const auto n_layer = static_cast<size_t>(r.facts.n_layer);
    for (size_t entry = 0; entry < r.menu.size(); ++entry) {
        map.row_names.push_back(r.menu[entry].text);
        map.values.emplace_back(n_layer);
        map.marked.emplace_back(n_layer);
        for (size_t i = 0; i < r.layers.size(); ++i) {
            const auto layer = static_cast<size_t>(r.layers[i]);
            map.values.back()[layer] = r.choices[i][entry].at_short.measured ? damage_counted(r, i, entry) : 0;
            map.marked.back()[layer] = takes(mix[layer], static_cast<int32_t>(entry));
        }
    }
    return draw_heat_map(map);
}

// What the map's numbers stand for: it has no room for names, and shows them on hovering only.
std::string entry_names(const planner_result & r) {
    std::string names;
    for (size_t entry = 0; entry < r.menu.size(); ++entry) {
        names.append(entry == 0 ? "" : ", ").append(std::to_string(entry)).append(" ").append(r.menu[entry].text);
    }
    return names;
}

}  // namespace

std::vector<report_drawing> mix_drawings(const planner_settings & settings, const planner_result & r) {
    const std::string lines =
        "Lines: combinations of the layers' choices, their damages added up, which are means over all positions. "
        "Points: the first token's KL as measured; of several lengths the one with the largest mean. A point at the "
        "foot may be 0. Of combinations that were tried, those within the budget are shown.";
    return {{"frontier-pairs", "Damage against pairs", lines, pairs_chart(settings, r)},
            {"frontier-ttft", "Damage against time",
             lines + " The line's times are dense's less what the layers' choices save.", seconds_chart(settings, r)},
            {"choices", "Choices",
             "Mean KL divergence from dense over all positions, beyond what any change does to the layer's rounding. "
             "Darker does more; the scale is logarithmic; white does nothing, or was not measured, since it saves "
             "nothing or less than another that does nothing. "
             "Entries: " +
                 entry_names(r) + ".",
             choices_map(r)}};
}

}  // namespace tmx
