#include "profile/report.h"

#include <fmt/core.h>

#include <filesystem>
#include <map>

#include "profile/svg.h"

namespace tmx {
namespace {

constexpr const char * k_style = R"(
body { font: 15px/1.5 system-ui, sans-serif; max-width: 860px; margin: 2em auto; padding: 0 1em; color: #1a1a1a; background: #fff; }
h1 { font-size: 1.6em; margin-bottom: 0; } h2 { font-size: 1.15em; margin-top: 2em; }
svg { width: 100%; height: auto; } svg text { font: 12px system-ui, sans-serif; fill: #333; }
.grid { stroke: #e3e3e3; stroke-width: 1; } .mark { stroke: #888; stroke-width: 1.5; stroke-dasharray: 5 4; }
table { border-collapse: collapse; } td, th { padding: 2px 14px 2px 0; text-align: right; border-bottom: 1px solid #e3e3e3; }
td:first-child, th:first-child { text-align: left; } .key { font-size: 1.15em; } .note { color: #555; } code { font-size: .92em; overflow-wrap: anywhere; }
)";

std::string section_of_page(const std::string & heading, const std::string & note, const std::string & body) {
    return "<h2>" + html_text(heading) + "</h2>\n<p class=\"note\">" + note + "</p>\n" + body;
}

std::span<const unit> chosen_units(const profile_result & r) {
    return std::span(r.order.units).first(static_cast<size_t>(r.chosen.size));
}

std::string cells(const std::vector<std::string> & texts, const char * tag = "td") {
    std::string row = "<tr>";
    for (const std::string & text : texts) {
        row += fmt::format("<{0}>{1}</{0}>", tag, text);
    }
    return row + "</tr>\n";
}

std::string summary(const profile_settings & settings, const profile_result & r) {
    const std::string units = settings.per_head ? "heads" : "layers";
    std::string text =
        fmt::format("<p class=\"key\"><b>{} of {} {} take Triangle attention</b>: <code>{}</code></p>\n<p>",
                    r.chosen.size, r.units.size(), units, html_text(format_units(chosen_units(r))));
    text += settings.how == choose_by::given
                ? std::string("Given by the user. ")
                : fmt::format("Ordered by {}, chosen by {} = {}. ", html_text(settings.score), name_of(settings.how),
                              show_number(settings.value));
    if (!r.check.empty()) {
        const effect_summary s = summarise(r.check);
        text += fmt::format(
            "On {} prompts that had no part in choosing, the first token's KL divergence from dense is {} nats on "
            "average "
            "(worst {}), that of the following tokens {}.",
            r.check.size(), show_number(s.first_kl), show_number(s.worst_first_kl), show_number(s.following_kl));
    } else {
        text += "It was not checked on other prompts.";
    }
    return text + "</p>\n";
}

std::string gradient_chart(const profile_result & r) {
    svg_chart chart;
    chart.title = "mean gradient by layer";
    chart.x_label = "layer";
    chart.y_label = "mean |dy/dA|";
    chart.log_y = true;
    for (const section s : k_sections) {
        chart.series.push_back({name_of(s), gradient_curve(r, s), true});
    }
    return section_of_page(
        "Gradient by layer and section",
        "Mean over heads, pairs and prompts of |&part;y/&part;A|, y the logit of the first generated "
        "token. Triangle attention skips the middle section.",
        draw_chart(chart));
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
    map.title = "score of each head";
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
    return section_of_page("Heads",
                           "Middle section, " + html_text(std::string(kind->name)) +
                               ", logarithmic shade: darker matters more. Framed: chosen.",
                           draw_heat_map(map));
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
        show_number(gap.first_kl), show_number(gap.following_kl));
}

std::string ablation_chart(const profile_settings & settings, const profile_result & r) {
    svg_chart chart;
    chart.title = "damage of each unit alone";
    chart.x_label = settings.per_head ? "head, in order of layers" : "layer";
    chart.y_label = "first-token KL, nats";
    chart.log_y = true;
    svg_series series{"alone", {}, false};
    for (size_t u = 0; u < r.units.size(); ++u) {
        series.points.emplace_back(static_cast<double>(u), r.unit_kl[u]);
        chart.point_labels.push_back(name_of(r.units[u]));
    }
    chart.series.push_back(std::move(series));
    return section_of_page("Ablation",
                           "What making one alone triangle does: mean KL divergence of the first token from dense. " +
                               how_ablated(settings, r),
                           draw_chart(chart));
}

std::string agreement(const profile_settings & settings, const profile_result & r) {
    std::string table = "<table>\n" + cells({"score", "rank correlation", "95% interval over prompts"}, "th");
    // Resamples of one or two prompts say nothing about others.
    const bool few = r.gradients.size() < 3;
    for (const score_quality & q : r.qualities) {
        const std::string range = fmt::format("{:.3f} to {:.3f}", q.rank_correlation.low, q.rank_correlation.high);
        table += cells(
            {html_text(q.score), fmt::format("{:.3f}", q.rank_correlation.value), few ? "needs three prompts" : range});
    }
    table += "</table>\n";
    const score_kind * kind = find_score(settings.score);
    if (kind == nullptr) {
        kind = find_score("contribution");
    }
    const std::vector<double> scores = unit_scores(r, *kind, section::middle);
    svg_chart chart;
    chart.title = "gradient score against measured damage";
    chart.x_label = std::string(kind->name) + ", middle section";
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
        return section_of_page("Do gradients predict damage?", "Every score is zero: prompts are too short.", table);
    }
    chart.series.push_back(std::move(series));
    return section_of_page("Do gradients predict damage?",
                           "Spearman's rank correlation over units between each score and the measured KL.",
                           draw_chart(chart) + table);
}

std::string growth_chart(const profile_settings & settings, const profile_result & r) {
    svg_chart chart;
    chart.title = "KL of the growing set";
    chart.x_label = std::string("triangle ") + (settings.per_head ? "heads" : "layers");
    chart.y_label = "mean first-token KL, nats";
    svg_series choosing{"prompts that choose", {{0, 0}}, true};
    for (const measured_size & m : r.curve) {
        choosing.points.emplace_back(static_cast<double>(m.size), m.mean_kl);
    }
    svg_series held_out{"held out", {}, false};
    for (const measured_size & m : r.chosen.measured) {
        if (m.held_out) {
            held_out.points.emplace_back(static_cast<double>(m.size), m.mean_kl);
        }
    }
    chart.series.push_back(std::move(choosing));
    if (!held_out.points.empty()) {
        chart.series.push_back(std::move(held_out));
    }
    chart.x_mark = static_cast<double>(r.chosen.size);
    if (settings.how == choose_by::kl_budget) {
        chart.y_mark = settings.value;
    }
    return section_of_page("KL against the number of triangle units",
                           "Sets grow in the order of the score; the dashed lines are the chosen size and the budget.",
                           draw_chart(chart));
}

std::string speed_table(const profile_result & r) {
    std::string table =
        "<table>\n" + cells({"prompt tokens", "attention pairs computed", "attention arithmetic saved"}, "th");
    for (const int64_t n : {2048, 4096, 8192, 16384, 32768, 65536, 131072}) {
        const double kept = pairs_kept(r.value, n);
        table += cells({std::to_string(n), fmt::format("{:.1f}%", 100 * kept), fmt::format("{:.2f}x", 1 / kept)});
    }
    table += "</table>\n";
    // Measured while checking, one row a length.
    std::map<int64_t, std::pair<std::vector<double>, std::vector<double>>> by_length;
    for (const set_effect & e : r.check) {
        auto & [dense, chosen] = by_length[(e.n_tokens + 127) / 128 * 128];
        dense.push_back(e.dense_seconds);
        chosen.push_back(e.seconds);
    }
    if (!by_length.empty()) {
        table +=
            "<p>Measured while checking (exact dense attention by our kernels against the plan, "
            "medians):</p>\n<table>\n" +
            cells({"prompt tokens, about", "prompts", "dense prefill", "with the plan", "faster by"}, "th");
        for (const auto & [length, times] : by_length) {
            const double dense = median(times.first);
            const double chosen = median(times.second);
            table += cells({std::to_string(length), std::to_string(times.first.size()), fmt::format("{:.3g} s", dense),
                            fmt::format("{:.3g} s", chosen), fmt::format("{:.2f}x", dense / chosen)});
        }
        table += "</table>\n";
    }
    return section_of_page("Expected speed", "Pairs are counted; other parts of a prefill stay as they are.", table);
}

std::string yardstick_table(const profile_result & r) {
    std::map<std::string, std::vector<set_effect>> by_way;
    for (const auto & [way, effect] : r.yardsticks) {
        by_way[way].push_back(effect);
    }
    if (!r.check.empty()) {
        by_way["this plan"] = r.check;
    }
    std::string table =
        "<table>\n" + cells({"way", "mean first-token KL", "worst", "mean KL of following tokens"}, "th");
    for (const auto & [way, effects] : by_way) {
        const effect_summary s = summarise(effects);
        table += cells(
            {html_text(way), show_number(s.first_kl), show_number(s.worst_first_kl), show_number(s.following_kl)});
    }
    return section_of_page(
        "Beside what users already accept",
        "Stock llama.cpp's own variations against exact dense attention, on the same held-out prompts.",
        table + "</table>\n");
}

std::string score_table(const profile_settings & settings, const profile_result & r) {
    std::vector<std::string> titles = {settings.per_head ? "layer.head" : "layer", "order", html_text(settings.score)};
    if (!r.unit_kl.empty()) {
        titles.emplace_back("KL alone");
        titles.emplace_back("KL of following tokens");
        titles.emplace_back("log p of the target, change");
    }
    titles.emplace_back("plan");
    std::string table = "<table>\n" + cells(titles, "th");
    std::map<unit, size_t> place;
    for (size_t i = 0; i < r.order.units.size(); ++i) {
        place[r.order.units[i]] = i;
    }
    for (size_t u = 0; u < r.units.size(); ++u) {
        const size_t at = place.at(r.units[u]);
        std::vector<std::string> row = {name_of(r.units[u]), std::to_string(at + 1),
                                        fmt::format("{:.3e}", r.order.scores[at])};
        if (!r.unit_kl.empty()) {
            row.push_back(fmt::format("{:.2e}", r.unit_kl[u]));
            double following = 0;
            double target = 0;
            const std::vector<set_effect> & effects = r.ablation.effects[u];
            for (const set_effect & e : effects) {
                following += e.distance.following_kl / static_cast<double>(effects.size());
                target += (e.target_set - e.target_dense) / static_cast<double>(effects.size());
            }
            row.push_back(fmt::format("{:.2e}", following));
            row.push_back(fmt::format("{:+.4f}", target));
        }
        row.emplace_back(static_cast<int64_t>(at) < r.chosen.size ? "triangle" : "dense");
        table += cells(row);
    }
    return "<details><summary>All scores</summary>\n" + table + "</table>\n</details>\n";
}

}  // namespace

double pairs_kept(const plan & p, int64_t n_tokens) {
    const std::array<int64_t, 3> pairs = section_pairs(p.shape, n_tokens);
    const auto all = static_cast<double>(pairs[0] + pairs[1] + pairs[2]);
    const double skipped = static_cast<double>(pairs[index_of(section::middle)]) / all;
    double kept = 0;
    for (const layer_plan & layer : p.layers) {
        double triangle_share = layer.kind == layer_kind::triangle ? 1 : 0;
        if (!layer.dense_head.empty()) {
            const auto n_dense = std::count_if(layer.dense_head.begin(), layer.dense_head.end(),
                                               [](uint8_t dense) { return dense != 0; });
            triangle_share = 1 - static_cast<double>(n_dense) / static_cast<double>(layer.dense_head.size());
        }
        kept += 1 - triangle_share * skipped;
    }
    return p.layers.empty() ? 1 : kept / static_cast<double>(p.layers.size());
}

std::vector<std::pair<double, double>> gradient_curve(const profile_result & r, section where) {
    std::vector<std::pair<double, double>> curve;
    const std::vector<double> scores = layer_scores(r.gradients, r.facts.n_head, *find_score("gradient"), where);
    for (size_t layer = 0; layer < scores.size(); ++layer) {
        curve.emplace_back(static_cast<double>(layer), scores[layer]);
    }
    return curve;
}

std::string report_html(const profile_settings & settings, const profile_result & r, const report_facts & facts) {
    const std::string file = std::filesystem::path(settings.model_path).filename().string();
    std::string page =
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n<meta name=\"viewport\" "
        "content=\"width=device-width\">\n<title>Profile of " +
        html_text(file) + "</title>\n<style>" + k_style + "</style></head><body>\n";
    page += "<h1>" + html_text(r.facts.name.empty() ? file : r.facts.name) + "</h1>\n<p class=\"note\">" +
            html_text(fmt::format("{}, {}: {} layers, {} heads, {} key heads; sink {}, window {}, last {}", file,
                                  r.facts.file_type, r.facts.n_layer, r.facts.n_head, r.facts.n_head_kv,
                                  settings.shape.n_sink, settings.shape.n_window, settings.shape.n_last)) +
            "</p>\n" + summary(settings, r);
    if (!r.curve.empty() || r.chosen.checked) {
        page += growth_chart(settings, r);
    }
    if (!r.gradients.empty()) {
        page += gradient_chart(r) + heat_map(settings, r);
    }
    if (!r.unit_kl.empty()) {
        page += ablation_chart(settings, r);
    }
    if (!r.qualities.empty()) {
        page += agreement(settings, r);
    }
    if (!r.yardsticks.empty()) {
        page += yardstick_table(r);
    }
    page += speed_table(r);
    if (settings.how != choose_by::given) {
        page += score_table(settings, r);
    }
    page +=
        "<h2>How</h2>\n<p><code>" + html_text(facts.command) + "</code></p>\n<p class=\"note\">" +
        html_text(facts.date + "; " + facts.machine + "; trianglemix " + facts.version + " (" + facts.commit + ")") +
        "<br>model sha256 <code>" + r.model_sha256 + "</code></p>\n";
    return page + "</body></html>\n";
}

}  // namespace tmx
