#include "identity/presets.h"

#include <algorithm>
#include <cctype>
#include <nlohmann/json.hpp>
#include <string_view>
#include <vector>

namespace tmx {
namespace {

std::vector<std::string> words_of(std::string_view text) {
    std::vector<std::string> words;
    std::string word;
    for (const char c : text) {
        const bool part = std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '.';
        if (part) {
            word += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
        } else if (!word.empty()) {
            words.push_back(std::move(word));
            word.clear();
        }
    }
    if (!word.empty()) {
        words.push_back(std::move(word));
    }
    return words;
}

// What a shipped plan says about where it comes from.
struct preset_origin {
    bool measured_here = false;
    std::string source;
};

preset_origin origin_of(const plan & preset) {
    const auto provenance = nlohmann::json::parse(preset.provenance, nullptr, false);
    if (!provenance.is_object()) {
        return {};
    }
    return {provenance.value("measured_here", false), provenance.value("source", "")};
}

std::string how_to_measure(const model_identity & model) {
    return "trianglemix profile -m " + (model.path.empty() ? "MODEL" : model.path) +
           " finds which layers can be triangle and writes a plan";
}

std::string no_preset_note(const model_identity & model) {
    std::string note = "no preset plan is known for '" + (model.name.empty() ? show_model(model) : model.name) + "' (" +
                       std::to_string(model.n_layer) + " layers), so this is exact attention";
    std::string fitting;
    for (const plan_preset * preset : presets_for(shape_of(model))) {
        fitting += (fitting.empty() ? "" : ", ") + std::string(preset->name);
    }
    if (!fitting.empty()) {
        note += "; presets of models with the same shape: " + fitting + " (name one with --plan preset:NAME)";
    }
    return note + "; " + how_to_measure(model);
}

std::string unmeasured_note(const plan & preset, const model_identity & model) {
    return "the preset made for this model was not measured by this project (" + origin_of(preset).source +
           "), so it is not used unasked, and this is exact attention; ask for it with --plan preset:" + preset.name +
           ", or " + how_to_measure(model);
}

}  // namespace

bool preset_names_model(std::string_view preset, const std::string & general_name) {
    const std::vector<std::string> words = words_of(general_name);
    const std::vector<std::string> wanted = words_of(preset);
    return !words.empty() && std::all_of(wanted.begin(), wanted.end(), [&](const std::string & word) {
        return word == "instruct" || std::find(words.begin(), words.end(), word) != words.end();
    });
}

std::string show_model(const model_identity & model) {
    return model.path.substr(model.path.rfind('/') + 1);
}

std::string other_model_note(const std::string & reference, const model_identity & model) {
    constexpr std::string_view k_preset = "preset:";
    if (!reference.starts_with(k_preset) || model.name.empty() ||
        preset_names_model(reference.substr(k_preset.size()), model.name)) {
        return "";
    }
    return reference + " has this model's shape, and its name is another's: the file calls itself '" + model.name +
           "'. What the plan does to another model's answers is not known";
}

parsed<chosen_plan> own_preset(const model_identity & model) {
    const std::vector<const plan_preset *> fitting = presets_for(shape_of(model));
    const auto found = std::find_if(fitting.begin(), fitting.end(), [&](const plan_preset * each) {
        return preset_names_model(each->name, model.name);
    });
    if (found == fitting.end()) {
        return {{.source = "exact", .note = no_preset_note(model)}, ""};
    }
    const parsed<plan> read = parse_plan((*found)->json_text);
    const std::string name((*found)->name);
    if (!read.ok()) {
        return {{}, "preset " + name + ": " + read.error};
    }
    if (!origin_of(read.value).measured_here) {
        return {{.source = "exact", .note = unmeasured_note(read.value, model)}, ""};
    }
    return {{.value = read.value, .source = "preset:" + name}, ""};
}

}  // namespace tmx
