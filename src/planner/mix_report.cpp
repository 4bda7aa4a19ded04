#include "planner/mix_report.h"

#include <fmt/core.h>

#include <filesystem>

#include "planner/lone_choices.h"
#include "planner/mix_drawings.h"
#include "profile/page/svg.h"
#include "profile/unit_set.h"

namespace tmx {
namespace {

std::string tokens(int64_t n) {
    return show_number(static_cast<double>(n)) + " tokens";
}

std::string percent(double share) {
    return fmt::format("{:.1f}%", 100 * share);
}

std::string seconds(double s) {
    return show_number(s) + " s";
}

// Mean first-token KL and time of a checked mix at one length.
struct length_row {
    const prompt_group * group = nullptr;
    std::span<const mix_effect> effects;
};

std::vector<length_row> rows_by_length(const planner_result & r, const measured_mix & m) {
    std::vector<length_row> rows;
    size_t begin = 0;
    for (const prompt_group & group : m.held_out ? r.held_out : r.choosing) {
        rows.push_back({&group, std::span(m.effects).subspan(begin, group.prompts.size())});
        begin += group.prompts.size();
    }
    return rows;
}

effect_summary summary_of(std::span<const mix_effect> effects) {
    std::vector<set_effect> plain;
    for (const mix_effect & e : effects) {
        plain.push_back(e.effect);
    }
    return summarise(plain);
}

double median_dense(std::span<const mix_effect> effects) {
    std::vector<double> times;
    for (const mix_effect & e : effects) {
        times.push_back(e.effect.dense_seconds);
    }
    return median(std::move(times));
}

// Of the layers that may take an entry, how many do.
std::string how_many(const planner_result & r) {
    const layer_mix mix = mix_of_combination(r, r.mix.taken());
    const auto n_taken = std::count_if(mix.begin(), mix.end(), [](const layer_entry & e) { return e.takes_any(); });
    return fmt::format("{} of {} layers are not dense", n_taken, r.layers.size());
}

std::string text_of_search(const planner_result & r, const planner_search & s) {
    return text_of(mix_of_combination(r, s.taken()), r.menu);
}

std::string text_of_outcome(const start_outcome & start) {
    const std::string file = std::filesystem::path(start.whole.file).filename().string();
    const std::string before = show_number(start.search.before().first_kl);
    if (start.search.given_back.empty()) {
        return fmt::format("{} alone, with all of its {} triangle heads: mean first-token KL {}", file,
                           start.n_before(), before);
    }
    return fmt::format(
        "{} alone: mean first-token KL {} with its {} triangle heads, {} with the {} that are left when those are "
        "given back that do most of the harm: {}",
        file, before, start.n_before(), show_number(start.search.after.first_kl), start.n_after(),
        text_of_given_back(start));
}

std::string text_of_heads(const planner_result & r) {
    std::vector<int32_t> layers;
    for (size_t i = 0; i < r.layers.size(); ++i) {
        if (by_head(r, i)) {
            layers.push_back(r.layers[i]);
        }
    }
    const std::span<const int32_t> taken = std::span(r.mix.taken().entries).subspan(r.layers.size());
    return fmt::format("layers {} were looked at head by head: {} of {} heads take an entry", format_layer_set(layers),
                       std::count_if(taken.begin(), taken.end(), [](int32_t entry) { return entry >= 0; }),
                       r.heads.size());
}

std::string check_table(const planner_result & r, const measured_mix & check) {
    std::string table = "<table>\n" + cells({"prompt tokens, at most", "prompts", "mean first-token KL", "worst",
                                             "mean KL of following tokens", "attention pairs", "dense prefill",
                                             "with the plan", "faster by"},
                                            "th");
    for (const length_row & row : rows_by_length(r, check)) {
        const effect_summary s = summary_of(row.effects);
        const double dense = median_dense(row.effects);
        const double planned = median_prefill(row.effects);
        table += cells({html_number(static_cast<double>(row.group->n_tokens)), std::to_string(row.effects.size()),
                        html_number(s.first_kl), html_number(s.worst_first_kl), html_number(s.following_kl),
                        percent(share_of_pairs(row.effects)), html_number(dense) + " s", html_number(planned) + " s",
                        fmt::format("{:.2f}x", dense / planned)});
    }
    return section_of_page("Check",
                           "On prompts that had no part in choosing. Dense is exact attention by our kernels; times "
                           "are medians.",
                           table + "</table>\n");
}

void add_row(std::string & table, const planner_result & r, const std::string & what, const measured_mix & m) {
    const std::span<const mix_effect> longest = at_longest(r, m);
    table += cells({html_text(what), html_number(m.worst_kl), percent(share_of_pairs(longest)),
                    html_number(median_prefill(longest)) + " s"});
}

std::string ways_table(const planner_result & r) {
    std::string table = "<table>\n" + cells({"way", "first-token KL", "attention pairs", "time to first token"}, "th");
    add_row(table, r, "dense", r.dense);
    for (size_t entry = 0; entry < r.everywhere.size(); ++entry) {
        add_row(table, r, r.menu[entry].text + " in every layer", r.everywhere[entry]);
    }
    const auto add_search = [&](const std::string & what, const planner_search & s) {
        for (const bool held_out : {false, true}) {
            if (const measured_mix * m = measured_taken(r, s, held_out)) {
                add_row(table, r, what + (held_out ? ", on prompts kept back" : ""), *m);
            }
        }
    };
    if (r.triangle) {
        add_search("Triangle alone, within the budget", *r.triangle);
    }
    add_search("the plan", r.mix);
    return section_of_page("Ways beside each other",
                           "Mean KL divergence of the first token at the length where it is largest; pairs and times "
                           "of the longest prompts.",
                           table + "</table>\n");
}

std::string outcome_of(const planner_settings & settings, const planner_result & r, size_t number, size_t entry) {
    const measured_choice & choice = r.choices[number][entry];
    const bool measured = choice.at_short.measured;
    const bool is_layer = number < r.layers.size();
    return r.mix.taken().entries[number] == static_cast<int32_t>(entry)    ? "plan"
           : !measured && saving_of(choice, settings.aim) <= 0             ? "saves nothing"
           : !measured                                                     ? "another does no harm"
           : is_layer && by_head(r, number)                                ? "head by head"
           : damage_counted(r, number, entry) > settings.budget()          ? "beyond the budget"
           : is_layer && !choice.at_long.measured && r.choosing.size() > 1 ? "another is better"
                                                                           : "";
}

std::string choice_table_html(const planner_settings & settings, const planner_result & r) {
    std::string table =
        "<table>\n" + cells({r.heads.empty() ? "layer" : "layer, or layer.head", "entry", "KL, shortest",
                             "following tokens", "KL, longest", "following tokens", "pairs", "saves", ""},
                            "th");
    const auto pair = [](const damage & d) {
        return d.measured ? std::pair(html_number(d.first_kl), html_number(d.following_kl))
                          : std::pair(std::string("-"), std::string("-"));
    };
    for (size_t i = 0; i < r.choices.size(); ++i) {
        for (size_t entry = 0; entry < r.menu.size(); ++entry) {
            const measured_choice & choice = r.choices[i][entry];
            if (i >= r.layers.size() && !choice.at_short.measured) {
                continue;  // not all entries are, of heads
            }
            const auto [short_first, short_following] = pair(choice.at_short);
            const auto [long_first, long_following] = pair(choice.at_long);
            table += cells({name_of(candidate(r, i)), html_text(r.menu[entry].text), short_first, short_following,
                            long_first, long_following, percent(choice.kept_share),
                            html_number(1000 * choice.saved) + " ms", outcome_of(settings, r, i, entry)});
        }
    }
    return "<details><summary>All choices</summary>\n" + table + "</table>\n</details>\n";
}

}  // namespace

std::vector<std::string> mix_summary(const planner_settings & settings, const planner_result & r) {
    const std::string start =
        settings.start ? fmt::format("; where {} has no triangle heads", settings.start->file) : "";
    std::vector<std::string> lines = {fmt::format("{}: {}{}", how_many(r), text_of_search(r, r.mix), start)};
    lines.insert(lines.end(), r.left_out.begin(), r.left_out.end());
    if (r.start) {
        lines.push_back(text_of_outcome(*r.start));
    }
    if (!r.heads.empty()) {
        lines.push_back(text_of_heads(r));
    }
    const measured_mix * check = measured_taken(r, r.mix, true);
    if (check == nullptr) {
        lines.push_back(
            fmt::format("no combination keeps the first token's mean KL within {} nats at every length and "
                        "saves time",
                        show_number(settings.budget())));
        return lines;
    }
    std::string distances;
    std::string pairs;
    for (const length_row & row : rows_by_length(r, *check)) {
        const std::string comma = pairs.empty() ? "" : ", ";
        const std::string at = tokens(row.group->n_tokens);
        distances += fmt::format("{}{} at {}", comma, show_number(summary_of(row.effects).first_kl), at);
        pairs += fmt::format("{}{} at {}", comma, percent(share_of_pairs(row.effects)), at);
    }
    lines.push_back(fmt::format("checked on {} other prompts: mean first-token KL {} (budget {})",
                                check->effects.size(), distances, show_number(settings.budget())));
    const std::span<const mix_effect> measured = at_longest(r, *check);
    lines.push_back(fmt::format("attention pairs computed: {}; time to first token of the longest {}, dense {}", pairs,
                                seconds(median_prefill(measured)), seconds(median_dense(measured))));
    if (r.triangle) {
        const combination & alone = r.triangle->taken();
        lines.push_back(fmt::format("Triangle alone, within the same budget: {}; {} of the pairs expected at {}",
                                    text_of_search(r, *r.triangle), percent(predicted_share(r, alone)),
                                    tokens(r.choosing.back().n_tokens)));
    }
    return lines;
}

std::string mix_report_html(const planner_settings & settings, const planner_result & r, const report_facts & facts) {
    const profile_settings & base = settings.base;
    const std::string file = std::filesystem::path(base.model_path).filename().string();
    std::string page = page_begin("Plan for " + file);
    page += "<h1>" + html_text(r.facts.name.empty() ? file : r.facts.name) + "</h1>\n<p class=\"note\">" +
            html_text(fmt::format("{}, {}: {} layers, {} heads, {} key heads; sink {}, window {}, last {}", file,
                                  r.facts.file_type, r.facts.n_layer, r.facts.n_head, r.facts.n_head_kv,
                                  base.shape.n_sink, base.shape.n_window, base.shape.n_last)) +
            "</p>\n";
    const std::vector<std::string> lines = mix_summary(settings, r);
    page += "<p class=\"key\">" + html_text(lines.front()) + "</p>\n";
    for (size_t i = 1; i < lines.size(); ++i) {
        page += "<p>" + html_text(lines[i]) + ".</p>\n";
    }
    if (base.quick) {
        page += "<p>A quick run: few prompts, and short ones.</p>\n";
    }
    for (const report_drawing & drawing : mix_drawings(settings, r)) {
        page += section_of_page(drawing.heading, drawing.note, drawing.svg);
    }
    if (const measured_mix * check = measured_taken(r, r.mix, true)) {
        page += check_table(r, *check);
    }
    page += ways_table(r) + choice_table_html(settings, r) + how_made(facts, r.model_sha256);
    return page + page_end();
}

}  // namespace tmx
