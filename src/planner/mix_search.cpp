#include "planner/mix_search.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "profile/selection.h"

namespace tmx {
namespace {

// So many failed tries in a row: the budget is used up, and what is left to try does more damage for less time.
constexpr int k_most_failures = 12;

struct move {
    size_t layer = 0;
    int32_t entry = -1;
    double saved = 0;   // more than what the layer has
    double damage = 0;  // ..., may be less
};

choice_cost cost_of(const choice_table & table, size_t layer, int32_t entry) {
    return entry < 0 ? choice_cost{} : table[layer][static_cast<size_t>(entry)];
}

// The move of the least damage per time saved. Of equal ones the first layer's, and in a layer the first entry's.
std::optional<move> best_move(const choice_table & table, const combination & c) {
    std::optional<move> best;
    for (size_t layer = 0; layer < table.size(); ++layer) {
        const choice_cost now = cost_of(table, layer, c.entries[layer]);
        for (size_t entry = 0; entry < table[layer].size(); ++entry) {
            const choice_cost & cost = table[layer][entry];
            const move next = {layer, static_cast<int32_t>(entry), cost.saved - now.saved, cost.damage - now.damage};
            if (!cost.offered || !(next.saved > 0) || !std::isfinite(next.damage)) {
                continue;
            }
            if (!best || next.damage * best->saved < best->damage * next.saved) {
                best = next;
            }
        }
    }
    return best;
}

void withdraw(choice_table & table, const move & failed) {
    const double damage = table[failed.layer][static_cast<size_t>(failed.entry)].damage;
    for (choice_cost & cost : table[failed.layer]) {
        cost.offered = cost.offered && cost.damage < damage;
    }
}

void go_forward(choice_table table, double budget, const combination_kl & kl, std::vector<combination> & path) {
    for (int n_failed = 0; n_failed < k_most_failures;) {
        const std::optional<move> next = best_move(table, path.back());
        if (!next) {
            return;
        }
        combination c = path.back();
        c.entries[next->layer] = next->entry;
        c.saved += next->saved;
        c.damage += next->damage;
        if (kl(c, false) <= budget) {
            path.push_back(std::move(c));
            n_failed = 0;
        } else {
            withdraw(table, *next);
            ++n_failed;
        }
    }
}

size_t go_back(const std::vector<combination> & path, double budget, const combination_kl & kl) {
    const auto within_budget = [&](size_t number) { return number == 0 || kl(path[number], true) <= budget; };
    size_t within = path.size() - 1;
    size_t beyond = path.size();
    for (size_t step = 1; !within_budget(within); step *= 2) {
        beyond = within;
        within -= std::min(step, within);
    }
    while (beyond - within > 1) {
        const size_t middle = within + (beyond - within) / 2;
        (within_budget(middle) ? within : beyond) = middle;
    }
    return within;
}

}  // namespace

std::vector<combination> path_along_frontier(const choice_table & table, double budget, const combination_kl & kl) {
    std::vector<combination> path = make_frontier(table);
    const auto n_sizes = static_cast<int64_t>(path.size()) - 1;
    const selection along = choose_size(n_sizes, 1, budget, false, [&](int64_t number, bool held_out) {
        return kl(path[static_cast<size_t>(number)], held_out);
    });
    path.resize(static_cast<size_t>(along.size) + 1);
    return path;
}

searched_path search_mix(const choice_table & table, double budget, const combination_kl & kl, bool forward) {
    searched_path found;
    found.path = path_along_frontier(table, budget, kl);
    if (forward) {
        go_forward(table, budget, kl, found.path);
    }
    found.taken = go_back(found.path, budget, kl);
    return found;
}

}  // namespace tmx
