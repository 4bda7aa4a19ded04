// The drawings of eval/report/eval_report.h.
#include <fmt/core.h>

#include <algorithm>
#include <cctype>
#include <map>
#include <set>

#include "eval/report/cell_map.h"
#include "eval/report/eval_report.h"
#include "eval/tasks/needle_map.h"
#include "profile/page/svg.h"

namespace tmx {
namespace {

std::string length_name(int64_t length) {
    return length % 1024 == 0 ? fmt::format("{}K", length / 1024) : std::to_string(length);
}

// Differences of every task and length in every arm, one row a task.
std::string difference_map(const eval_report & r, const std::string & suite) {
    cell_map map;
    map.title = suite + ": difference to dense in points, by task, arm and length";
    map.low = -20;
    map.high = 20;
    map.digits = 1;
    std::set<int64_t> lengths;
    for (const scored_arm & scored : r.arms) {
        for (const task_result & t : scored.tasks) {
            if (t.suite == suite && t.n > 0) {
                lengths.insert(t.length);
                if (std::find(map.row_names.begin(), map.row_names.end(), t.task) == map.row_names.end()) {
                    map.row_names.push_back(t.task);
                }
            }
        }
    }
    for (const scored_arm & scored : r.arms) {
        cell_map::panel panel;
        panel.name = scored.arm->name;
        panel.values.assign(map.row_names.size(), std::vector<std::optional<double>>(lengths.size()));
        for (const int64_t length : lengths) {
            panel.column_names.push_back(length_name(length));
        }
        for (const task_result & t : scored.tasks) {
            const auto row = std::find(map.row_names.begin(), map.row_names.end(), t.task);
            if (t.suite == suite && t.n > 0) {
                const auto column = std::distance(lengths.begin(), lengths.find(t.length));
                panel.values[static_cast<size_t>(row - map.row_names.begin())][static_cast<size_t>(column)] =
                    t.difference.mean;
            }
        }
        map.panels.push_back(std::move(panel));
    }
    return map.row_names.empty() ? "" : draw_cell_map(map);
}

// Scores of a suite over lengths, or "" where there is one length.
std::string length_chart(const eval_report & r, const std::string & suite) {
    svg_chart chart;
    chart.title = suite + " by length";
    chart.x_label = "tokens of prompt and answer";
    chart.y_label = "score";
    chart.log_x = true;
    std::map<double, double> reference;
    for (const scored_arm & scored : r.arms) {
        svg_series series{scored.arm->name, {}, true};
        for (const suite_result & s : scored.suites) {
            if (s.suite == suite && s.n > 0) {
                series.points.emplace_back(static_cast<double>(s.length), s.other);
                reference[static_cast<double>(s.length)] = s.reference;
            }
        }
        if (!series.points.empty()) {
            chart.series.push_back(std::move(series));
        }
    }
    if (reference.size() < 2) {
        return "";
    }
    chart.series.insert(chart.series.begin(), {"dense", {reference.begin(), reference.end()}, true});
    return draw_chart(chart);
}

// The mean of one value of the needle suite, by place and length.
template <class Value>
cell_map::panel needle_panel(const std::string & name, const std::vector<answer_pair> & pairs,
                             const std::set<int64_t> & lengths, const Value & value) {
    const std::vector<std::string> & places = needle_places();
    cell_map::panel panel;
    panel.name = name;
    for (const int64_t length : lengths) {
        panel.column_names.push_back(length_name(length));
    }
    for (const std::string & place : places) {
        std::vector<std::optional<double>> row;
        for (const int64_t length : lengths) {
            double sum = 0;
            double n = 0;
            for (const answer_pair & pair : pairs) {
                const auto at = pair.other.meta.find("place");
                if (pair.other.suite == "needle" && pair.other.length == length && at != pair.other.meta.end() &&
                    at->second == place) {
                    sum += value(pair);
                    n += 1;
                }
            }
            row.push_back(n > 0 ? std::optional<double>(sum / n) : std::nullopt);
        }
        panel.values.push_back(std::move(row));
    }
    return panel;
}

// Found answers, and log-probabilities of the right ones: dense, the arm's, the difference.
std::vector<report_drawing> needle_maps(const arm_pairs & pairs) {
    std::set<int64_t> lengths;
    for (const answer_pair & pair : pairs.answers) {
        if (pair.other.suite == "needle") {
            lengths.insert(pair.other.length);
        }
    }
    if (lengths.empty()) {
        return {};
    }
    const auto panels = [&](const auto & of) {
        return std::vector<cell_map::panel>{
            needle_panel("dense", pairs.answers, lengths, [&](const answer_pair & p) { return of(p.reference); }),
            needle_panel(pairs.arm->name, pairs.answers, lengths, [&](const answer_pair & p) { return of(p.other); })};
    };
    const auto log_p = [](const prediction & p) { return -p.answer.gold_nll; };
    cell_map found{"Needles found, percent, by place and length", needle_places(), {}, 0, 100, 0};
    found.panels = panels([](const prediction & p) { return 100 * p.score.value; });
    cell_map sure{
        "Mean log-probability of a right answer's tokens, by place and length", needle_places(), {}, -2, 0, 2};
    sure.panels = panels(log_p);
    cell_map change{"Change of that log-probability", needle_places(), {}, -0.5, 0.5, 3};
    change.panels = {needle_panel(pairs.arm->name, pairs.answers, lengths,
                                  [&](const answer_pair & p) { return log_p(p.other) - log_p(p.reference); })};
    std::string file = pairs.arm->name;
    std::replace_if(
        file.begin(), file.end(), [](char c) { return !std::isalnum(static_cast<unsigned char>(c)); }, '_');
    return {{"needle-" + file, "Needle map: " + pairs.arm->name, "", draw_cell_map(found)},
            {"needle-logp-" + file, "Log-probability: " + pairs.arm->name, "", draw_cell_map(sure)},
            {"needle-change-" + file, "Change: " + pairs.arm->name, "", draw_cell_map(change)}};
}

// First-token and following KL of every arm over lengths.
std::string fidelity_chart(const eval_report & r) {
    svg_chart chart;
    chart.title = "Distance to dense behind documents";
    chart.x_label = "prompt tokens";
    chart.y_label = "mean KL of the following tokens, nats";
    chart.log_x = true;
    chart.log_y = true;
    std::map<std::string, svg_series> by_arm;
    for (const fidelity_result & f : r.fidelity) {
        svg_series & series = by_arm[f.arm];
        series.name = f.arm;
        series.points.emplace_back(static_cast<double>(f.length), f.following_kl.mean);
        series.line = true;
    }
    for (const eval_arm & a : r.settings.arms) {
        if (by_arm.contains(a.name)) {
            chart.series.push_back(by_arm[a.name]);
        }
    }
    return draw_chart(chart);
}

}  // namespace

std::vector<report_drawing> eval_drawings(const eval_report & r) {
    std::vector<report_drawing> drawings;
    const auto add = [&](const std::string & name, const std::string & heading, std::string svg) {
        if (!svg.empty()) {
            drawings.push_back({name, heading, "", std::move(svg)});
        }
    };
    std::set<int64_t> fidelity_lengths;
    for (const fidelity_result & f : r.fidelity) {
        fidelity_lengths.insert(f.length);
    }
    if (fidelity_lengths.size() > 1) {
        add("fidelity", "Fidelity by length", fidelity_chart(r));
    }
    std::vector<std::string> suites;
    for (const scored_arm & scored : r.arms) {
        for (const suite_result & s : scored.suites) {
            if (s.suite != "needle" && std::find(suites.begin(), suites.end(), s.suite) == suites.end()) {
                suites.push_back(s.suite);
            }
        }
    }
    for (const std::string & suite : suites) {
        add(suite + "-lengths", "Scores by length: " + suite, length_chart(r, suite));
        add(suite + "-tasks", "Differences by task: " + suite, difference_map(r, suite));
    }
    for (const arm_pairs & pairs : r.pairs) {
        for (report_drawing & drawing : needle_maps(pairs)) {
            drawings.push_back(std::move(drawing));
        }
    }
    return drawings;
}

}  // namespace tmx
