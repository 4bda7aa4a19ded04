#include "backend/selection_text.h"

#include <algorithm>
#include <cstdio>
#include <utility>

namespace tmx {
namespace {

std::string text_of(const selection_rule & rule) {
    const selection_method & method = selection_method_of(rule.method);
    std::string text(method.name);
    for (size_t i = 0; i < method.parameters.size(); ++i) {
        char value[32];
        std::snprintf(value, sizeof(value), "%s%g", i == 0 ? " " : ", ", rule.values[i]);
        text += value;
    }
    return text;
}

}  // namespace

std::vector<selection_text> selection_texts(const plan & p) {
    std::vector<std::pair<selection_rule, std::vector<int32_t>>> layers_of;
    for (size_t layer = 0; layer < p.layers.size(); ++layer) {
        if (p.layers[layer].dynamic < 0) {
            continue;
        }
        const selection_rule & rule = p.dynamic[static_cast<size_t>(p.layers[layer].dynamic)];
        auto known =
            std::find_if(layers_of.begin(), layers_of.end(), [&](const auto & each) { return each.first == rule; });
        if (known == layers_of.end()) {
            known = layers_of.insert(known, {rule, {}});
        }
        known->second.push_back(static_cast<int32_t>(layer));
    }
    std::vector<selection_text> texts;
    texts.reserve(layers_of.size());
    for (const auto & [rule, layers] : layers_of) {
        texts.push_back({text_of(rule), format_layer_set(layers)});
    }
    return texts;
}

}  // namespace tmx
