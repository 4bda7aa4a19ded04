#include "trianglemix/head_rules.h"

#include <algorithm>

namespace tmx {
namespace {

// The number of an equal element, which is added if there is none; `same` compares with it.
template <typename T, typename F>
int32_t number_of(std::vector<T> & all, T wanted, const F & same) {
    const auto found = std::find_if(all.begin(), all.end(), same);
    if (found != all.end()) {
        return found->id;
    }
    wanted.id = static_cast<int32_t>(all.size());
    all.push_back(std::move(wanted));
    return all.back().id;
}

}  // namespace

compiled_rules::compiled_rules(const plan & p) : rules_(1), heads_(1) {
    for (const layer_plan & planned : p.layers) {
        head_rule rule;
        rule.banded = planned.kind == layer_kind::triangle;
        if (planned.dynamic >= 0) {
            rule.selection = p.dynamic[static_cast<size_t>(planned.dynamic)];
        }
        const int32_t id = number_of(rules_, rule, [&](const head_rule & other) {
            return other.banded == rule.banded && other.selection == rule.selection;
        });
        layer_heads heads;
        heads.rule = rules_[static_cast<size_t>(id)];
        heads.dense_head = rule.dense() ? std::vector<uint8_t>{} : planned.dense_head;
        layers_.push_back(number_of(heads_, heads, [&](const layer_heads & other) {
            return other.rule.id == id && other.dense_head == heads.dense_head;
        }));
    }
}

const layer_heads & compiled_rules::of_layer(int32_t layer) const {
    const auto at = static_cast<size_t>(layer);
    return heads_[layer >= 0 && at < layers_.size() ? static_cast<size_t>(layers_[at]) : 0];
}

}  // namespace tmx
