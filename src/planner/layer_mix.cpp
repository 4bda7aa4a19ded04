#include "planner/layer_mix.h"

#include <algorithm>
#include <functional>

#include "profile/unit_set.h"

namespace tmx {
namespace {

// [n_head], 0: the head is not in it; empty: all are.
using head_set = std::vector<uint8_t>;

// Heads that select by a rule. A plan file names each such pair once.
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

using numbering = std::function<int32_t(const rule_of_heads & heads)>;  // of rules, in the plan

int64_t own_window(const menu_entry & entry, int64_t n_window) {
    return entry.n_window > 0 && entry.n_window != n_window ? entry.n_window : -1;
}

// What a layer does of which all heads take the entry, from what it does without.
layer_plan with_entry(const layer_plan & start, const menu_entry & entry, int64_t n_window, const numbering & number) {
    const bool banded = start.kind == layer_kind::triangle;
    if (banded && start.dense_head.empty()) {
        return start;
    }
    layer_plan made;
    made.kind = banded || entry.n_window > 0 ? layer_kind::triangle : layer_kind::dense;
    made.own.n_window = own_window(entry, n_window);
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

// The same head by head.
layer_plan with_entries(const layer_plan & start, const std::vector<int32_t> & of_head,
                        std::span<const menu_entry> menu, int64_t n_window, const numbering & number) {
    layer_plan made;
    made.kind = start.kind;
    head_set dense(of_head.size());
    std::vector<int32_t> rules(of_head.size(), -1);
    for (size_t head = 0; head < of_head.size(); ++head) {
        if (!dense_at(start, head)) {
            continue;
        }
        if (of_head[head] == k_dense) {
            dense[head] = 1;
            continue;
        }
        const menu_entry & entry = menu[static_cast<size_t>(of_head[head])];
        if (entry.n_window > 0) {
            made.kind = layer_kind::triangle;
            made.own.n_window = made.own.n_window < 0 ? own_window(entry, n_window) : made.own.n_window;
        }
        if (entry.rule) {
            head_set same(of_head.size());
            for (size_t other = 0; other < same.size(); ++other) {
                same[other] = dense_at(start, other) && of_head[other] == of_head[head] ? 1 : 0;
            }
            rules[head] = number({*entry.rule, std::move(same)});
        }
    }
    if (made.kind == layer_kind::triangle && std::find(dense.begin(), dense.end(), 1) != dense.end()) {
        made.dense_head = std::move(dense);
    }
    if (std::any_of(rules.begin(), rules.end(), [](int32_t rule) { return rule >= 0; })) {
        made.head_dynamic = std::move(rules);
    }
    return made;
}

// "0-3,7", "heads 4:0,2;5:1", both, or "".
std::string layers_and_heads(const layer_mix & mix, int32_t entry) {
    std::vector<int32_t> layers;
    std::vector<unit> heads;
    for (size_t i = 0; i < mix.size(); ++i) {
        const auto layer = static_cast<int32_t>(i);
        if (mix[i].entry == entry) {
            layers.push_back(layer);
        }
        for (size_t head = 0; head < mix[i].of_head.size(); ++head) {
            if (mix[i].of_head[head] == entry) {
                heads.push_back({layer, static_cast<int32_t>(head)});
            }
        }
    }
    const std::string of_layers = layers.empty() ? "" : format_layer_set(layers);
    const std::string of_heads = heads.empty() ? "" : "heads " + format_units(heads);
    return of_layers + (layers.empty() || heads.empty() ? "" : " ") + of_heads;
}

}  // namespace

layer_mix mix_of(int32_t n_layer, std::span<const int32_t> layers, int32_t entry) {
    layer_mix mix(static_cast<size_t>(n_layer));
    for (const int32_t layer : layers) {
        mix[static_cast<size_t>(layer)].entry = entry;
    }
    return mix;
}

std::string text_of(const layer_mix & mix, std::span<const menu_entry> menu) {
    std::string text;
    for (size_t entry = 0; entry < menu.size(); ++entry) {
        const std::string where = layers_and_heads(mix, static_cast<int32_t>(entry));
        if (!where.empty()) {
            text += (text.empty() ? "" : "; ") + menu[entry].text + " " + where;
        }
    }
    return text.empty() ? "dense" : text;
}

bool dense_at(const layer_plan & start, size_t head) {
    return start.dense_head.empty() ? start.kind == layer_kind::dense : start.dense_head[head] != 0;
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
    const numbering number = [&](const rule_of_heads & wanted) { return number_of(wanted, rules); };
    for (size_t layer = 0; layer < mix.size(); ++layer) {
        layer_plan & made = p.layers[layer];
        if (!mix[layer].of_head.empty()) {
            made = with_entries(made, mix[layer].of_head, menu, shape.n_window, number);
        } else if (mix[layer].entry != k_dense) {
            made = with_entry(made, menu[static_cast<size_t>(mix[layer].entry)], shape.n_window, number);
        }
    }
    for (const rule_of_heads & each : rules) {
        p.dynamic.push_back({each.rule});
    }
    return p;
}

}  // namespace tmx
