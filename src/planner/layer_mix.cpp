#include "planner/layer_mix.h"

#include <algorithm>
#include <functional>

namespace tmx {
namespace {

// Heads that select by a rule: [n_head], 0 those that do not; empty: all. A plan file names each such pair once.
using head_set = std::vector<uint8_t>;
struct rule_of_heads {
    selection_rule rule;
    head_set heads;

    bool operator==(const rule_of_heads &) const = default;
};

int32_t number_of(const rule_of_heads & wanted, std::vector<rule_of_heads> & known) {
    const auto found = std::find(known.begin(), known.end(), wanted);
    const auto number = static_cast<int32_t>(found - known.begin());
    if (found == known.end()) {
        known.push_back(wanted);
    }
    return number;
}

// What a layer does that takes the entry, from what it does without. number: of a rule that heads select by.
layer_plan with_entry(const layer_plan & start, const menu_entry & entry, int64_t n_window,
                      const std::function<int32_t(const rule_of_heads & heads)> & number) {
    const bool banded = start.kind == layer_kind::triangle;
    if (banded && start.dense_head.empty()) {
        return start;
    }
    layer_plan made;
    made.kind = banded || entry.n_window > 0 ? layer_kind::triangle : layer_kind::dense;
    made.own.n_window = entry.n_window > 0 && entry.n_window != n_window ? entry.n_window : -1;
    if (!entry.rule) {
        return made;
    }
    const int32_t rule = number({*entry.rule, start.dense_head});
    made.dynamic = start.dense_head.empty() ? rule : -1;
    for (const uint8_t was_dense : start.dense_head) {
        made.head_dynamic.push_back(was_dense != 0 ? rule : -1);
    }
    return made;
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
                 const triangle_shape & shape, std::span<const layer_plan> start) {
    plan p;
    p.model = model;
    p.shape = shape;
    p.tail = tail_policy::prompt;
    p.layers.assign(start.begin(), start.end());
    p.layers.resize(mix.size());
    std::vector<rule_of_heads> rules;
    for (size_t layer = 0; layer < mix.size(); ++layer) {
        if (mix[layer] != k_dense) {
            const menu_entry & entry = menu[static_cast<size_t>(mix[layer])];
            p.layers[layer] = with_entry(p.layers[layer], entry, shape.n_window,
                                         [&](const rule_of_heads & wanted) { return number_of(wanted, rules); });
        }
    }
    for (const rule_of_heads & each : rules) {
        p.dynamic.push_back({each.rule});
    }
    return p;
}

}  // namespace tmx
