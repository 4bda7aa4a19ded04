#include "profile/unit_set.h"

#include <fmt/core.h>

#include <algorithm>
#include <map>

namespace tmx {

std::string name_of(const unit & u) {
    return u.head < 0 ? std::to_string(u.layer) : fmt::format("{}.{}", u.layer, u.head);
}

std::vector<unit> all_units(const model_shape & model, bool heads, std::span<const int32_t> windows) {
    std::vector<unit> units;
    for (int32_t layer = 0; layer < model.n_layer; ++layer) {
        const auto at = static_cast<size_t>(layer);
        if (at < windows.size() && windows[at] > 0) {
            continue;
        }
        for (int32_t head = 0; head < (heads ? model.n_head : 1); ++head) {
            units.push_back({layer, heads ? head : -1});
        }
    }
    return units;
}

plan plan_of_units(std::span<const unit> units, const model_shape & model, const triangle_shape & shape) {
    plan p;
    p.model = model;
    p.shape = shape;
    p.tail = tail_policy::prompt;
    p.layers.resize(static_cast<size_t>(model.n_layer));
    for (const unit & u : units) {
        layer_plan & layer = p.layers[static_cast<size_t>(u.layer)];
        layer.kind = layer_kind::triangle;
        if (u.head >= 0) {
            if (layer.dense_head.empty()) {
                layer.dense_head.assign(static_cast<size_t>(model.n_head), 1);
            }
            layer.dense_head[static_cast<size_t>(u.head)] = 0;
        }
    }
    for (layer_plan & layer : p.layers) {
        // All heads triangle: no list of dense ones.
        if (std::find(layer.dense_head.begin(), layer.dense_head.end(), 1) == layer.dense_head.end()) {
            layer.dense_head.clear();
        }
    }
    return p;
}

std::string format_units(std::span<const unit> units) {
    if (units.empty() || units.front().head < 0) {
        std::vector<int32_t> layers;
        for (const unit & u : units) {
            layers.push_back(u.layer);
        }
        std::sort(layers.begin(), layers.end());
        return format_layer_set(layers);
    }
    std::map<int32_t, std::vector<int32_t>> heads;
    for (const unit & u : units) {
        heads[u.layer].push_back(u.head);
    }
    std::string text;
    for (auto & [layer, list] : heads) {
        std::sort(list.begin(), list.end());
        text += fmt::format("{}{}:{}", text.empty() ? "" : ";", layer, format_layer_set(list));
    }
    return text;
}

}  // namespace tmx
