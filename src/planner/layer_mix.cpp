#include "planner/layer_mix.h"

#include <algorithm>

namespace tmx {
namespace {

int32_t number_of(const selection_rule & selection, std::vector<dynamic_rule> & known) {
    const dynamic_rule rule{selection};
    const auto found = std::find(known.begin(), known.end(), rule);
    const auto number = static_cast<int32_t>(found - known.begin());
    if (found == known.end()) {
        known.push_back(rule);
    }
    return number;
}

}  // namespace

layer_mix mix_of(int32_t n_layer, std::span<const int32_t> layers, int32_t entry) {
    layer_mix mix(static_cast<size_t>(n_layer), k_dense);
    for (const int32_t layer : layers) {
        mix[static_cast<size_t>(layer)] = entry;
    }
    return mix;
}

std::string text_of(const layer_mix & mix, std::span<const menu_entry> menu) {
    std::string text;
    for (size_t entry = 0; entry < menu.size(); ++entry) {
        std::vector<int32_t> layers;
        for (size_t layer = 0; layer < mix.size(); ++layer) {
            if (mix[layer] == static_cast<int32_t>(entry)) {
                layers.push_back(static_cast<int32_t>(layer));
            }
        }
        if (!layers.empty()) {
            text += (text.empty() ? "" : "; ") + menu[entry].text + " " + format_layer_set(layers);
        }
    }
    return text.empty() ? "dense" : text;
}

plan plan_of_mix(const layer_mix & mix, std::span<const menu_entry> menu, const model_shape & model,
                 const triangle_shape & shape) {
    plan p;
    p.model = model;
    p.shape = shape;
    p.tail = tail_policy::prompt;
    p.layers.resize(mix.size());
    for (size_t layer = 0; layer < mix.size(); ++layer) {
        if (mix[layer] == k_dense) {
            continue;
        }
        const menu_entry & entry = menu[static_cast<size_t>(mix[layer])];
        if (entry.n_window > 0) {
            p.layers[layer].kind = layer_kind::triangle;
            p.layers[layer].own.n_window = entry.n_window == shape.n_window ? -1 : entry.n_window;
        }
        if (entry.rule) {
            p.layers[layer].dynamic = number_of(*entry.rule, p.dynamic);
        }
    }
    return p;
}

}  // namespace tmx
