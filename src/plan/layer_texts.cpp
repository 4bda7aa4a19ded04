#include "trianglemix/layer_texts.h"

#include <algorithm>
#include <utility>

namespace tmx {
namespace {

// The layers and heads for which a plan has a rule.
struct rule_use {
    dynamic_rule rule;
    std::vector<int32_t> heads;  // empty: every head
    std::vector<int32_t> layers;
};

// The rules of a layer, in the order of their first heads.
std::vector<rule_use> uses_in(const plan & p, const layer_plan & layer) {
    std::vector<rule_use> uses;
    if (layer.dynamic >= 0) {
        uses.push_back({p.dynamic[static_cast<size_t>(layer.dynamic)], {}, {}});
    }
    for (size_t head = 0; head < layer.head_dynamic.size(); ++head) {
        if (layer.head_dynamic[head] < 0) {
            continue;
        }
        const dynamic_rule & rule = p.dynamic[static_cast<size_t>(layer.head_dynamic[head])];
        auto known = std::find_if(uses.begin(), uses.end(), [&](const rule_use & use) { return use.rule == rule; });
        if (known == uses.end()) {
            known = uses.insert(known, {rule, {}, {}});
        }
        known->heads.push_back(static_cast<int32_t>(head));
    }
    return uses;
}

}  // namespace

std::vector<band_text> band_texts(const plan & p) {
    std::vector<std::pair<triangle_shape, std::vector<int32_t>>> all;
    for (size_t layer = 0; layer < p.layers.size(); ++layer) {
        if (p.layers[layer].kind != layer_kind::triangle) {
            continue;
        }
        const triangle_shape shape = p.shape_of_layer(layer);
        auto known = std::find_if(all.begin(), all.end(), [&](const auto & each) {
            return each.first.n_sink == shape.n_sink && each.first.n_window == shape.n_window;
        });
        if (known == all.end()) {
            known = all.insert(known, {shape, {}});
        }
        known->second.push_back(static_cast<int32_t>(layer));
    }
    std::vector<band_text> texts;
    texts.reserve(all.size());
    for (const auto & [shape, layers] : all) {
        texts.push_back({format_layer_set(layers), shape.n_sink, shape.n_window});
    }
    return texts;
}

std::string dense_layers(const plan & p, int32_t n_layer) {
    std::vector<int32_t> dense;
    for (int32_t layer = 0; layer < n_layer; ++layer) {
        const auto at = static_cast<size_t>(layer);
        if (at >= p.layers.size() || (p.layers[at].kind == layer_kind::dense && !p.layers[at].is_dynamic())) {
            dense.push_back(layer);
        }
    }
    return format_layer_set(dense);
}

std::string selection_text::text() const {
    return rule + (heads.empty() ? "" : ", heads " + heads) +
           (min_tokens > 0 ? ", from " + std::to_string(min_tokens) + " tokens on" : "");
}

std::vector<selection_text> selection_texts(const plan & p) {
    std::vector<rule_use> all;
    for (size_t layer = 0; layer < p.layers.size(); ++layer) {
        for (const rule_use & use : uses_in(p, p.layers[layer])) {
            auto known = std::find_if(all.begin(), all.end(), [&](const rule_use & other) {
                return other.rule == use.rule && other.heads == use.heads;
            });
            if (known == all.end()) {
                known = all.insert(known, use);
            }
            known->layers.push_back(static_cast<int32_t>(layer));
        }
    }
    std::vector<selection_text> texts;
    texts.reserve(all.size());
    for (const rule_use & use : all) {
        texts.push_back({.rule = format_selection(use.rule.selection),
                         .layers = format_layer_set(use.layers),
                         .heads = use.heads.empty() ? "" : format_layer_set(use.heads),
                         .min_tokens = use.rule.min_tokens});
    }
    return texts;
}

}  // namespace tmx
