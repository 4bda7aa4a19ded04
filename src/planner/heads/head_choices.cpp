#include "planner/heads/head_choices.h"

#include <algorithm>

namespace tmx {
namespace {

// Of what was measured in a layer and saves, the entry of the least damage; k_dense: there is none.
int32_t careful_entry(const planner_result & r, size_t layer, planner_aim aim) {
    int32_t best = k_dense;
    for (size_t entry = 0; entry < r.menu.size(); ++entry) {
        const measured_choice & choice = r.choices[layer][entry];
        const bool usable = choice.at_short.measured && saving_of(choice, aim) > 0;
        if (usable &&
            (best < 0 || damage_counted(r, layer, entry) < damage_counted(r, layer, static_cast<size_t>(best)))) {
            best = static_cast<int32_t>(entry);
        }
    }
    return best;
}

}  // namespace

std::vector<lone_choice> layers_left(const planner_result & r, const combination & c, planner_aim aim) {
    std::vector<lone_choice> list;
    for (size_t layer = 0; layer < r.layers.size(); ++layer) {
        const int32_t entry = c.entries[layer] < 0 ? careful_entry(r, layer, aim) : k_dense;
        if (entry != k_dense) {
            list.push_back({layer, static_cast<size_t>(entry)});
        }
    }
    return list;
}

std::vector<unit> free_heads(int32_t layer, int32_t n_head, const std::vector<layer_plan> & start) {
    std::vector<unit> heads;
    const layer_plan at_start = start.empty() ? layer_plan() : start[static_cast<size_t>(layer)];
    for (int32_t head = 0; head < n_head; ++head) {
        if (dense_at(at_start, static_cast<size_t>(head))) {
            heads.push_back({layer, head});
        }
    }
    return heads;
}

layer_entry on_heads(const std::vector<unit> & heads, int32_t n_head, int32_t entry) {
    if (heads.size() == static_cast<size_t>(n_head)) {
        return {entry, {}};
    }
    layer_entry made{k_dense, std::vector<int32_t>(static_cast<size_t>(n_head), k_dense)};
    for (const unit & u : heads) {
        made.of_head[static_cast<size_t>(u.head)] = entry;
    }
    return made;
}

void add_heads(planner_result & r, const std::vector<lone_head> & measured) {
    for (const lone_head & one : measured) {
        double skipped = 0;
        double n_heads = 0;
        for (const lone_head & other : measured) {
            skipped += other.of_layer == one.of_layer ? other.skipped : 0;
            n_heads += other.of_layer == one.of_layer ? 1 : 0;
        }
        const double part = skipped > 0 ? one.skipped / skipped : 1 / n_heads;
        const measured_choice layer = r.choices[one.of_layer.layer][one.of_layer.entry];
        const auto known = std::find(r.heads.begin(), r.heads.end(), one.head);
        const size_t number = r.layers.size() + static_cast<size_t>(known - r.heads.begin());
        if (known == r.heads.end()) {
            r.heads.push_back(one.head);
            r.floors.push_back(r.floors[one.of_layer.layer]);
            r.choices.emplace_back(r.menu.size());
        }
        measured_choice & choice = r.choices[number][one.of_layer.entry];
        choice.at_short = one.alone;
        choice.saved = layer.saved * part;
        choice.start_share = layer.start_share;
        choice.kept_share = layer.start_share - (layer.start_share - layer.kept_share) * part;
    }
}

}  // namespace tmx
