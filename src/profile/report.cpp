#include "profile/report.h"

#include <fmt/core.h>

#include <filesystem>
#include <map>
#include <set>

#include "profile/page/page_parts.h"
#include "profile/page/svg.h"
#include "profile/pair_share.h"
#include "profile/report_drawings.h"

namespace tmx {
namespace {

std::string how_chosen(const profile_settings & settings) {
    if (settings.how == choose_by::given) {
        return "Given by the user.";
    }
    const std::string order = "Ordered by " + html_text(describe_score(settings.score)) + ", least first; ";
    switch (settings.how) {
        case choose_by::threshold:
            return order + fmt::format("taken are those of at most {}.", html_number(settings.value));
        case choose_by::kl_budget:
            return order + fmt::format(
                               "taken are as many as keep the first token's KL divergence from dense within {} nats on "
                               "average.",
                               html_number(settings.value));
        default:
            return order + "taken are as many as the user asked for.";
    }
}

std::string summary(const profile_settings & settings, const profile_result & r) {
    const std::string measured =
        r.measured_up_to > 0
            ? ", measured on prompts of up to " + html_number(static_cast<double>(r.measured_up_to)) + " tokens"
            : "";
    std::string text =
        fmt::format("<p class=\"key\"><b>{} of {} {} take Triangle attention{}</b>: <code>{}</code></p>\n<p>{}",
                    r.chosen.size, r.units.size(), settings.per_head ? "heads" : "layers", measured,
                    html_text(format_units(chosen_units(r))), how_chosen(settings));
    if (settings.quick) {
        text += " A quick run: few prompts, and short ones.";
    }
    if (!r.check.empty()) {
        const effect_summary s = summarise(r.check);
        text += fmt::format(
            " On {} prompts that had no part in choosing, of {}, the first token's KL divergence from dense is {} nats "
            "on average (worst {}), that of the following tokens {}.",
            r.check.size(), lengths_text(r.check, {}), html_number(s.first_kl), html_number(s.worst_first_kl),
            html_number(s.following_kl));
    } else {
        text += " It was not checked on other prompts.";
    }
    return text + "</p>\n";
}

std::string agreement_table(const profile_result & r) {
    std::string table = "<table>\n" + cells({"score", "rank correlation", "95% interval over prompts"}, "th");
    // Resamples of one or two prompts say nothing about others.
    const bool few = r.gradients.size() < 3;
    for (const score_quality & q : r.qualities) {
        const interval & rank = q.rank_correlation;
        table += cells({html_text(describe_score(q.score)), html_number(rank.value),
                        few ? "needs three prompts" : html_number(rank.low) + " to " + html_number(rank.high)});
    }
    return table + "</table>\n";
}

// Doublings up to what the model reads, that included.
std::vector<int64_t> lengths_of_model(const profile_result & r) {
    std::vector<int64_t> lengths;
    for (int64_t n = 1024; n < r.facts.n_ctx_train; n *= 2) {
        lengths.push_back(n);
    }
    lengths.push_back(r.facts.n_ctx_train);
    return lengths;
}

std::string speed_table(const profile_result & r) {
    std::string table =
        "<table>\n" +
        cells({"prompt tokens", "attention pairs computed", "less attention arithmetic", "measured"}, "th");
    for (const int64_t n : lengths_of_model(r)) {
        const double kept = pairs_kept(r.value, n, r.facts.windows);
        table += cells({html_number(static_cast<double>(n)), fmt::format("{:.1f}%", 100 * kept),
                        fmt::format("{:.2f}x", 1 / kept), n > r.measured_up_to ? "no" : "yes"});
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
            table +=
                cells({html_number(static_cast<double>(length)), std::to_string(times.first.size()),
                       html_number(dense) + " s", html_number(chosen) + " s", fmt::format("{:.2f}x", dense / chosen)});
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
            {html_text(way), html_number(s.first_kl), html_number(s.worst_first_kl), html_number(s.following_kl)});
    }
    return section_of_page(
        "Beside what users already accept",
        "Stock llama.cpp's own variations against exact dense attention, on the same held-out prompts.",
        table + "</table>\n");
}

std::string score_table(const profile_settings & settings, const profile_result & r) {
    std::vector<std::string> titles = {settings.per_head ? "layer.head" : "layer", "order",
                                       html_text(describe_score(settings.score))};
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
        std::vector<std::string> row = {name_of(r.units[u]), std::to_string(at + 1), html_number(r.order.scores[at])};
        if (!r.unit_kl.empty()) {
            row.push_back(html_number(r.unit_kl[u]));
            double following = 0;
            double target = 0;
            const std::vector<set_effect> & effects = r.ablation.effects[u];
            for (const set_effect & e : effects) {
                following += e.distance.following_kl / static_cast<double>(effects.size());
                target += (e.target_set - e.target_dense) / static_cast<double>(effects.size());
            }
            row.push_back(html_number(following));
            row.push_back(fmt::format("{}{}", target > 0 ? "+" : "", html_number(target)));
        }
        row.emplace_back(static_cast<int64_t>(at) < r.chosen.size ? "triangle" : "dense");
        table += cells(row);
    }
    return "<details><summary>All scores</summary>\n" + table + "</table>\n</details>\n";
}

}  // namespace

std::string report_html(const profile_settings & settings, const profile_result & r, const report_facts & facts) {
    const std::string file = std::filesystem::path(settings.model_path).filename().string();
    std::string page = page_begin("Profile of " + file);
    page += "<h1>" + html_text(r.facts.name.empty() ? file : r.facts.name) + "</h1>\n<p class=\"note\">" +
            html_text(fmt::format("{}, {}: {} layers, {} heads, {} key heads; sink {}, window {}, last {}", file,
                                  r.facts.file_type, r.facts.n_layer, r.facts.n_head, r.facts.n_head_kv,
                                  settings.shape.n_sink, settings.shape.n_window, settings.shape.n_last)) +
            "</p>\n" + summary(settings, r);
    for (const report_drawing & drawing : report_drawings(settings, r)) {
        page += section_of_page(drawing.heading, drawing.note, drawing.svg);
    }
    if (!r.qualities.empty()) {
        page += agreement_table(r);
    }
    if (!r.yardsticks.empty()) {
        page += yardstick_table(r);
    }
    page += speed_table(r);
    if (settings.how != choose_by::given) {
        page += score_table(settings, r);
    }
    page += how_made(facts, r.model_sha256);
    return page + page_end();
}

}  // namespace tmx
