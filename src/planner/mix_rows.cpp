#include "planner/mix_rows.h"

#include <filesystem>
#include <nlohmann/json.hpp>

#include "profile/unit_set.h"

namespace tmx {
namespace {

using json = nlohmann::ordered_json;

std::string line_of(const json & row) {
    return row.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
}

void add_damage(json & row, const std::string & where, const damage & d) {
    if (d.measured) {
        row[where] = {{"first_kl", d.first_kl}, {"following_kl", d.following_kl}, {"mean_kl", d.mean_kl}};
    }
}

std::string mix_lines(const planner_result & r, const measured_mix & m) {
    std::string text;
    for (const mix_effect & e : m.effects) {
        json row = set_json(e.effect, text_of(m.mix, r.menu));
        row["type"] = "mix";
        row["held_out"] = m.held_out;
        row["pairs"] = kept_share(e.layers);
        row["attention_s"] = sum_of(e.layers).seconds;
        text += line_of(row);
    }
    return text;
}

json distances(const planner_result & r, const measured_mix & m) {
    const std::span<const mix_effect> longest = at_longest(r, m);
    return {{"first_kl_worst_length", m.worst_kl},
            {"tokens", longest.front().effect.n_tokens},
            {"pairs", share_of_pairs(longest)},
            {"prefill_s", median_prefill(longest)}};
}

json row_of_length(std::span<const mix_effect> effects) {
    std::vector<set_effect> plain;
    std::vector<double> dense;
    for (const mix_effect & e : effects) {
        plain.push_back(e.effect);
        dense.push_back(e.effect.dense_seconds);
    }
    const effect_summary s = summarise(plain);
    return {{"prompts", effects.size()},
            {"first_kl_mean", s.first_kl},
            {"first_kl_worst", s.worst_first_kl},
            {"following_kl_mean", s.following_kl},
            {"same_top", s.n_same_top},
            {"positions", s.n_positions},
            {"pairs", share_of_pairs(effects)},
            {"prefill_s", median_prefill(effects)},
            {"dense_prefill_s", median(std::move(dense))}};
}

void add_chosen(std::vector<json> & rows, const planner_settings & settings, const planner_result & r,
                const planner_search & s, const char * way) {
    const measured_mix * check = measured_taken(r, s, true);
    if (check == nullptr) {
        rows.push_back({{"finding", "chosen"}, {"way", way}, {"mix", "dense"}, {"kl_budget", settings.budget()}});
        return;
    }
    size_t begin = 0;
    for (const prompt_group & group : r.held_out) {
        json row = {{"finding", "chosen"},
                    {"way", way},
                    {"mix", text_of(check->mix, r.menu)},
                    {"kl_budget", settings.budget()},
                    {"aim", name_of(settings.aim)},
                    {"tokens", group.n_tokens},
                    {"damage_expected", s.taken().damage},
                    {"pairs_expected_at_longest", predicted_share(r, s.taken())},
                    {"prefill_s_expected_at_longest", predicted_seconds(r, s.taken())}};
        row.update(row_of_length(std::span(check->effects).subspan(begin, group.prompts.size())));
        rows.push_back(std::move(row));
        begin += group.prompts.size();
    }
}

json row_of_start(const planner_settings & settings, const start_outcome & start) {
    return {{"finding", "start"},
            {"layers_sha256", start.whole.sha256},
            {"heads_before", start.n_before()},
            {"heads_after", start.n_after()},
            {"first_kl_before", start.search.before().first_kl},
            {"first_kl_after", start.search.after.first_kl},
            {"given_back", format_units(start.search.given_back)},
            {"kl_budget", settings.budget()},
            {"share", settings.start_share},
            {"measurements", start.search.tried.size()}};
}

std::vector<unit> heads_taken(const planner_result & r) {
    std::vector<unit> taken;
    for (size_t i = 0; i < r.heads.size(); ++i) {
        if (r.mix.taken().entries[r.layers.size() + i] >= 0) {
            taken.push_back(r.heads[i]);
        }
    }
    return taken;
}

}  // namespace

std::string mix_scores_jsonl(const planner_result & r) {
    std::string text;
    for (size_t i = 0; i < r.choices.size(); ++i) {
        const unit u = candidate(r, i);
        for (size_t entry = 0; entry < r.menu.size(); ++entry) {
            const measured_choice & choice = r.choices[i][entry];
            if (u.head >= 0 && !choice.at_short.measured) {
                continue;  // not all entries are, of heads
            }
            json row = {{"type", "choice"}, {"layer", u.layer}};
            if (u.head >= 0) {
                row["head"] = u.head;
            }
            row.update({{"entry", r.menu[entry].text},
                        {"saved_s", choice.saved},
                        {"pairs", choice.kept_share},
                        {"floor", r.floors[i]}});
            add_damage(row, u.head >= 0 ? "alone" : "at_shortest", choice.at_short);
            add_damage(row, "at_longest", choice.at_long);
            text += line_of(row);
        }
    }
    if (r.start) {
        for (const start_trial & t : r.start->search.tried) {
            text += line_of({{"type", "start"},
                             {"without", format_units(t.given_back)},
                             {"first_kl", t.effect.first_kl},
                             {"harm", t.effect.harm}});
        }
    }
    text += mix_lines(r, r.dense);
    for (const measured_mix & m : r.everywhere) {
        text += mix_lines(r, m);
    }
    for (const measured_mix & m : r.mix.measured) {
        text += mix_lines(r, m);
    }
    if (r.triangle) {
        for (const measured_mix & m : r.triangle->measured) {
            text += mix_lines(r, m);
        }
    }
    return text;
}

std::string mix_findings_jsonl(const planner_settings & settings, const planner_result & r,
                               const report_facts & facts) {
    std::vector<json> rows;
    if (r.start) {
        rows.push_back(row_of_start(settings, *r.start));
    }
    for (size_t entry = 0; entry < r.everywhere.size(); ++entry) {
        rows.push_back({{"finding", "everywhere"}, {"entry", r.menu[entry].text}});
        rows.back().update(distances(r, r.everywhere[entry]));
    }
    if (!r.heads.empty()) {
        rows.push_back({{"finding", "heads"},
                        {"looked_at", format_units(r.heads)},
                        {"taken", format_units(heads_taken(r))},
                        {"kl_budget", settings.budget()}});
    }
    if (r.triangle) {
        add_chosen(rows, settings, r, *r.triangle, "Triangle alone");
    }
    add_chosen(rows, settings, r, r.mix, "the plan");
    json menu = json::array();
    for (const menu_entry & entry : r.menu) {
        menu.push_back(entry.text);
    }
    rows.push_back({{"finding", "run"},
                    {"method", "menu"},
                    {"menu", std::move(menu)},
                    {"aim", name_of(settings.aim)},
                    {"lengths", settings.base.prompts.lengths},
                    {"check_lengths", settings.base.prompts.check_lengths},
                    {"questions", settings.base.prompts.questions},
                    {"prompts", r.n_prompts},
                    {"on_file", r.n_on_file},
                    {"seconds", facts.seconds},
                    {"peak_rss_bytes", facts.peak_memory_bytes},
                    {"threads", settings.base.n_threads}});
    if (settings.start) {
        rows.back()["start_layers_sha256"] = settings.start->sha256;
    }
    std::string text;
    for (json & row : rows) {
        row["model"] = std::filesystem::path(r.facts.path).filename().string();
        row["model_sha256"] = r.model_sha256;
        row["command"] = facts.command;
        row["machine"] = facts.machine;
        row["commit"] = facts.commit;
        row["date"] = facts.date;
        text += line_of(row);
    }
    return text;
}

}  // namespace tmx
