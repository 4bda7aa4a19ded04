#include "planner/lone_choices.h"

#include <set>

namespace tmx {
namespace {

bool harmless(const planner_result & r, const lone_choice & c, double budget) {
    constexpr double k_share = 0.25;
    return damage_counted(r, c.layer, c.entry) <= k_share * budget / static_cast<double>(r.layers.size());
}

}  // namespace

double saving_of(const measured_choice & choice, planner_aim aim) {
    return aim == planner_aim::time ? choice.saved : choice.start_share - choice.kept_share;
}

std::vector<lone_choice> next_choices(const planner_result & r, planner_aim aim, double budget) {
    std::vector<lone_choice> list;
    for (size_t layer = 0; layer < r.layers.size(); ++layer) {
        const std::vector<measured_choice> & choices = r.choices[layer];
        bool done = false;
        const measured_choice * best = nullptr;
        for (size_t entry = 0; entry < choices.size(); ++entry) {
            const measured_choice & choice = choices[entry];
            if (choice.at_short.measured) {
                done = done || harmless(r, {layer, entry}, budget);
            } else if (saving_of(choice, aim) > (best == nullptr ? 0 : saving_of(*best, aim))) {
                best = &choice;
            }
        }
        if (!done && best != nullptr) {
            list.push_back({layer, static_cast<size_t>(best - choices.data())});
        }
    }
    return list;
}

choice_table table_of(const planner_result & r, planner_aim aim) {
    choice_table table;
    for (size_t i = 0; i < r.choices.size(); ++i) {
        const bool offered = i >= r.layers.size() || !by_head(r, i);
        table.emplace_back();
        for (size_t entry = 0; entry < r.choices[i].size(); ++entry) {
            const measured_choice & choice = r.choices[i][entry];
            const bool measured = choice.at_short.measured;
            table.back().push_back(
                {measured ? damage_counted(r, i, entry) : 0, saving_of(choice, aim), offered && measured});
        }
    }
    return table;
}

std::vector<lone_choice> on_frontier(const choice_table & table, double most_damage) {
    std::set<lone_choice> taken;
    for (const combination & c : make_frontier(table)) {
        if (c.damage > most_damage) {
            break;
        }
        for (size_t layer = 0; layer < c.entries.size(); ++layer) {
            if (c.entries[layer] >= 0) {
                taken.insert({layer, static_cast<size_t>(c.entries[layer])});
            }
        }
    }
    return {taken.begin(), taken.end()};
}

std::vector<lone_choice> next_at_long(const planner_result & r, const choice_table & table, double most_damage) {
    std::vector<lone_choice> list = on_frontier(table, most_damage);
    std::erase_if(list, [&](const lone_choice & c) { return r.choices[c.layer][c.entry].at_long.measured; });
    return list;
}

}  // namespace tmx
