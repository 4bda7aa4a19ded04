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

// Of heads that are dense at the start (empty: all are) those that take an entry.
head_set taking(const head_set & dense_at_start, const head_set & wanted) {
    if (dense_at_start.empty() || wanted.empty()) {
        return dense_at_start.empty() ? wanted : dense_at_start;
    }
    head_set both = wanted;
    for (size_t head = 0; head < both.size(); ++head) {
        both[head] = both[head] != 0 && dense_at_start[head] != 0 ? 1 : 0;
    }
    return both;
}

// Of a triangle layer: heads that keep no band and take nothing.
head_set left_dense(const head_set & dense_at_start, const head_set & takes) {
    head_set left(takes.size());
    for (size_t head = 0; head < left.size(); ++head) {
        left[head] = (dense_at_start.empty() || dense_at_start[head] != 0) && takes[head] == 0 ? 1 : 0;
    }
    return std::find(left.begin(), left.end(), 1) == left.end() ? head_set() : left;
}

// What a layer does in which heads take the entry, from what it does without. number: of a rule that heads select by.
layer_plan with_entry(const layer_plan & start, const menu_entry & entry, const head_set & wanted, int64_t n_window,
                      const std::function<int32_t(const rule_of_heads & heads)> & number) {
    const bool banded = start.kind == layer_kind::triangle;
    const head_set takes = taking(start.dense_head, wanted);
    const bool none = !takes.empty() && std::find(takes.begin(), takes.end(), 1) == takes.end();
    if (none || (banded && start.dense_head.empty())) {
        return start;
    }
    layer_plan made;
    made.kind = banded || entry.n_window > 0 ? layer_kind::triangle : layer_kind::dense;
    made.own.n_window = entry.n_window > 0 && entry.n_window != n_window ? entry.n_window : -1;
    if (made.kind == layer_kind::triangle) {
        made.dense_head = left_dense(start.dense_head, takes);
    }
    if (!entry.rule) {
        return made;
    }
    const int32_t rule = number({*entry.rule, takes});
    made.dynamic = takes.empty() ? rule : -1;
    for (const uint8_t selects : takes) {
        made.head_dynamic.push_back(selects != 0 ? rule : -1);
    }
    return made;
}

// "0-3,7", "heads 4:0,2;5:1", both, or "".
std::string layers_and_heads(const layer_mix & mix, int32_t entry) {
    std::vector<int32_t> layers;
    std::vector<unit> heads;
    for (size_t i = 0; i < mix.size(); ++i) {
        if (mix[i].entry != entry) {
            continue;
        }
        const auto layer = static_cast<int32_t>(i);
        if (mix[i].heads.empty()) {
            layers.push_back(layer);
        }
        for (size_t head = 0; head < mix[i].heads.size(); ++head) {
            if (mix[i].heads[head] != 0) {
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
        if (mix[layer].entry != k_dense) {
            const menu_entry & entry = menu[static_cast<size_t>(mix[layer].entry)];
            p.layers[layer] = with_entry(p.layers[layer], entry, mix[layer].heads, shape.n_window,
                                         [&](const rule_of_heads & wanted) { return number_of(wanted, rules); });
        }
    }
    for (const rule_of_heads & each : rules) {
        p.dynamic.push_back({each.rule});
    }
    return p;
}

}  // namespace tmx
