#include "plan/read_bands.h"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "plan/limits.h"
#include "plan/object_reader.h"

namespace tmx {
namespace {

constexpr std::array<std::string_view, 3> band_keys = {"layers", "sink", "window"};

void read_band(const json & value, const std::string & path, plan & p, std::string & error) {
    object_reader entry(value, path, error);
    entry.allow_only(band_keys);
    own_band own;
    entry.integer("sink", false, 0, plan_limits::max_tokens, own.n_sink);
    entry.integer("window", false, 1, plan_limits::max_tokens, own.n_window);
    std::vector<int32_t> layers;
    entry.word("layers", true, "a string such as \"16-31\"", layers,
               [&](const std::string & text) { return parse_layer_set(text, p.model.n_layer); });
    const std::string where = path + ".layers";
    if (entry.ok() && layers.empty()) {
        entry.fail(where, "names no layer; leave the entry out");
    }
    if (entry.ok() && !own.any()) {
        entry.fail(path, "has neither sink nor window; leave the entry out");
    }
    for (const int32_t layer : layers) {
        layer_plan & target = p.layers[static_cast<size_t>(layer)];
        if (target.kind != layer_kind::triangle) {
            entry.fail(where, "layer " + std::to_string(layer) + " is not in triangle_layers");
        }
        if (target.own.any()) {
            entry.fail(where, "layer " + std::to_string(layer) + " is in an entry before already");
        }
        target.own = own;
    }
}

}  // namespace

void read_bands(const json & value, plan & p, std::string & error) {
    if (!error.empty()) {
        return;
    }
    if (!value.is_array()) {
        error = "bands: found " + shown(value) + ", expected an array";
        return;
    }
    if (value.empty()) {
        error = "bands: names no layer; leave it out";
        return;
    }
    for (size_t i = 0; i < value.size() && error.empty(); ++i) {
        read_band(value[i], "bands[" + std::to_string(i) + "]", p, error);
    }
}

json bands_to_json(const plan & p) {
    std::vector<std::pair<own_band, std::vector<int32_t>>> bands;
    for (size_t layer = 0; layer < p.layers.size(); ++layer) {
        const own_band & own = p.layers[layer].own;
        if (p.layers[layer].kind != layer_kind::triangle || !own.any()) {
            continue;
        }
        auto known = std::find_if(bands.begin(), bands.end(), [&](const auto & each) { return each.first == own; });
        if (known == bands.end()) {
            known = bands.insert(known, {own, {}});
        }
        known->second.push_back(static_cast<int32_t>(layer));
    }
    json entries = json::array();
    for (const auto & [own, layers] : bands) {
        json entry = {{"layers", format_layer_set(layers)}};
        if (own.n_sink >= 0) {
            entry["sink"] = own.n_sink;
        }
        if (own.n_window >= 0) {
            entry["window"] = own.n_window;
        }
        entries.push_back(std::move(entry));
    }
    return entries;
}

}  // namespace tmx
