#include "planner/plan_of_result.h"

#include <filesystem>
#include <nlohmann/json.hpp>

#include "profile/plan_provenance.h"
#include "profile/unit_set.h"

namespace tmx {
namespace {

using json = nlohmann::ordered_json;

// The plan format allows 4,096 values, of which a choice takes four.
constexpr size_t k_most_choices = 900;

std::vector<set_effect> effects_of(const measured_mix & m) {
    std::vector<set_effect> effects;
    for (const mix_effect & e : m.effects) {
        effects.push_back(e.effect);
    }
    return effects;
}

// What an entry does in each candidate layer.
void add_choices(json & row, const planner_result & r, size_t entry) {
    for (size_t layer = 0; layer < r.layers.size(); ++layer) {
        const measured_choice & choice = r.choices[layer][entry];
        const bool measured = choice.at_short.measured;
        row["damage"].push_back(measured ? json(rounded(damage_counted(r, layer, entry))) : json(nullptr));
        row["saved_ms"].push_back(rounded(1000 * choice.saved));
        row["pairs"].push_back(rounded(choice.kept_share));
    }
}

json menu_json(const planner_result & r) {
    const bool whole = r.layers.size() * r.menu.size() <= k_most_choices;
    json menu = json::array();
    for (size_t entry = 0; entry < r.menu.size(); ++entry) {
        json row = {{"entry", r.menu[entry].text}};
        if (whole) {
            add_choices(row, r, entry);
        }
        menu.push_back(std::move(row));
    }
    return menu;
}

json check_of_lengths(const planner_result & r, const measured_mix & check) {
    json rows = json::array();
    const std::vector<set_effect> effects = effects_of(check);
    size_t begin = 0;
    for (const prompt_group & group : r.held_out) {
        json row = {{"tokens", group.n_tokens}};
        row.update(check_json(std::span(effects).subspan(begin, group.prompts.size())));
        rows.push_back(std::move(row));
        begin += group.prompts.size();
    }
    return rows;
}

json start_json(const start_outcome & start) {
    json row = {{"file", std::filesystem::path(start.whole.file).filename().string()},
                {"layers_sha256", start.whole.sha256}};
    if (!start.search.given_back.empty()) {
        row["given_back"] = format_units(start.search.given_back);
    }
    return row;
}

std::string provenance_of(const planner_settings & settings, const planner_result & r) {
    const profile_settings & base = settings.base;
    json file = {{"source", "trianglemix profile"},
                 {"model_file", std::filesystem::path(base.model_path).filename().string()},
                 {"model_sha256", r.model_sha256},
                 {"method", "menu"}};
    if (!base.device.empty()) {
        file["device"] = base.device_description;
    }
    file["data"] = data_json(base);
    file["measured_up_to"] = r.measured_up_to;
    file["chosen_by"] = {{"kl_budget", settings.budget()}};
    file["aim"] = name_of(settings.aim);
    if (r.start) {
        file["start"] = start_json(*r.start);
    }
    file["candidates"] = format_layer_set(r.layers);
    if (!r.heads.empty()) {
        file["by_head"] = format_units(r.heads);
    }
    file["menu"] = menu_json(r);
    const combination & taken = r.mix.taken();
    file["predicted"] = {{"damage", rounded(taken.damage)},
                         {"saved_ms", rounded(1000 * saved_seconds(r, taken))},
                         {"pairs", rounded(predicted_share(r, taken))}};
    if (const measured_mix * check = measured_taken(r, r.mix, true)) {
        file["check"] = check_of_lengths(r, *check);
    }
    return file.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace

plan plan_of_result(const planner_settings & settings, const planner_result & r) {
    const profile_settings & base = settings.base;
    plan p = plan_of_mix(mix_of_combination(r, r.mix.taken()), r.menu, shape_of(r.facts), base.shape,
                         settings.start_layers());
    p.tail = tail_policy::chunk;  // a host that does not know the length is the usual user of a file
    p.arithmetic = parse_precision(base.precision).value;
    p.name = plan_name_of(r.facts.name);
    p.provenance = provenance_of(settings, r);
    return p;
}

}  // namespace tmx
