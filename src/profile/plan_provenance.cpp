#include "profile/plan_provenance.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

namespace tmx {
namespace {

using json = nlohmann::ordered_json;

// The plan format allows 4,096 values and 65,536 bytes. The scores of a large model's single heads would be more, so
// they are left out.
constexpr size_t k_most_scores = 1500;

}  // namespace

double rounded(double value) {
    char text[32];
    std::snprintf(text, sizeof(text), "%.6g", value);
    return std::strtod(text, nullptr);
}

json data_json(const profile_settings & settings) {
    const prompt_settings & p = settings.prompts;
    json data = json::object();
    if (!p.kinds.empty()) {
        json kinds = json::array();
        for (const prompt_kind kind : p.kinds) {
            kinds.push_back(name_of(kind));
        }
        data["builtin"] = std::move(kinds);
        data["lengths"] = p.lengths;
        if (!p.check_lengths.empty()) {
            data["check_lengths"] = p.check_lengths;
        }
        data["samples"] = p.samples;
        data["check_samples"] = p.check_samples;
        if (p.questions > 1) {
            data["questions"] = p.questions;
        }
        data["seed"] = p.seed;
        data["texts"] = p.texts.empty() ? "made" : "own";
        data["check_texts"] = p.check_texts.empty() ? "as texts" : "own";
        data["known_target"] = p.known_target;
    }
    if (!p.data.empty()) {
        data["own_prompts"] = p.data.size();
        data["file"] = std::filesystem::path(p.data_path).filename().string();
        data["sha256"] = p.data_sha256;
    }
    data["tokens"] = settings.n_following;
    if (settings.quick) {
        data["quick"] = true;
    }
    return data;
}

json check_json(std::span<const set_effect> effects) {
    const effect_summary s = summarise(effects);
    return {{"prompts", effects.size()},
            {"mean_first_kl", rounded(s.first_kl)},
            {"worst_first_kl", rounded(s.worst_first_kl)},
            {"mean_following_kl", rounded(s.following_kl)},
            {"same_top", s.n_same_top},
            {"positions", s.n_positions}};
}

std::string plan_name_of(const std::string & general_name) {
    const std::string utf8 =
        json::parse(json(general_name).dump(-1, ' ', false, json::error_handler_t::replace)).get<std::string>();
    std::string name;
    for (const char c : utf8) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte >= 0x20 && byte != 0x7f) {
            name += c;
        }
    }
    // A byte 10xxxxxx goes on with a character that begins before it.
    constexpr size_t k_most = 100;
    size_t end = std::min(name.size(), k_most);
    while (end < name.size() && (static_cast<unsigned char>(name[end]) & 0xC0) == 0x80) {
        --end;
    }
    return name.substr(0, end);
}

std::string provenance_of(const profile_settings & settings, const profile_result & r) {
    const bool given = settings.how == choose_by::given;
    json file = {{"source", "trianglemix profile"},
                 {"model_file", std::filesystem::path(settings.model_path).filename().string()},
                 {"model_sha256", r.model_sha256},
                 {"method", name_of_method(settings)}};
    if (settings.ablation) {
        file["ablated_in"] = name_of(settings.ablate_in);
    }
    if (!settings.device.empty()) {
        file["device"] = settings.device_description;
    }
    file["ordered_by"] = given ? "given" : settings.score;
    file["units"] = settings.per_head ? "heads" : "layers";
    file["data"] = data_json(settings);
    file["measured_up_to"] = r.measured_up_to;
    file["chosen_by"] = {{name_of(settings.how), settings.value}};
    file["size"] = r.chosen.size;
    if (!given && r.order.units.size() <= k_most_scores) {
        json scores = json::object();
        for (size_t i = 0; i < r.order.units.size(); ++i) {
            scores[name_of(r.order.units[i])] = rounded(r.order.scores[i]);
        }
        file["scores"] = std::move(scores);
    }
    if (!r.check.empty()) {
        file["check"] = check_json(r.check);
    }
    return file.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace tmx
