#include "planner/mix_search.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "profile/selection.h"

namespace tmx {
namespace {

// So many failed tries in a row: the budget is used up, and what is left to try does more damage for less time.
constexpr int k_most_failures = 12;
// Layers that are set back, one at a time, to see which of them does most.
constexpr size_t k_most_suspects = 8;

struct move {
    size_t layer = 0;
    int32_t entry = -1;
    double saved = 0;   // more than what the layer has; below 0 where it is set back
    double damage = 0;  // ..., may be less
};

combination moved(combination c, const move & m) {
    c.entries[m.layer] = m.entry;
    c.saved += m.saved;
    c.damage += m.damage;
    return c;
}

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

bool is_dense(const combination & c) {
    return std::all_of(c.entries.begin(), c.entries.end(), [](int32_t entry) { return entry < 0; });
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
        combination c = moved(path.back(), *next);
        if (kl(c, false) <= budget) {
            path.push_back(std::move(c));
            n_failed = 0;
        } else {
            withdraw(table, *next);
            ++n_failed;
        }
    }
}

// Each changed layer's next milder entry, or dense: those first whose last step is to do most damage per time saved.
std::vector<move> ways_back(const choice_table & table, const combination & c) {
    std::vector<move> ways;
    for (size_t layer = 0; layer < table.size(); ++layer) {
        if (c.entries[layer] < 0) {
            continue;
        }
        const choice_cost now = cost_of(table, layer, c.entries[layer]);
        move back = {layer, -1, -now.saved, -now.damage};
        for (size_t entry = 0; entry < table[layer].size(); ++entry) {
            const choice_cost & cost = table[layer][entry];
            const bool milder = cost.offered && cost.saved > 0 && cost.saved < now.saved && cost.damage < now.damage;
            if (milder && cost.saved - now.saved > back.saved) {
                back = {layer, static_cast<int32_t>(entry), cost.saved - now.saved, cost.damage - now.damage};
            }
        }
        ways.push_back(back);
    }
    std::stable_sort(ways.begin(), ways.end(),
                     [](const move & a, const move & b) { return a.damage * b.saved > b.damage * a.saved; });
    return ways;
}

// The one of them that frees most KL per time, as measured.
std::optional<move> best_way_back(const choice_table & table, const combination & c, const combination_kl & kl) {
    std::vector<move> ways = ways_back(table, c);
    ways.resize(std::min(ways.size(), k_most_suspects));
    const double now = kl(c, false);
    std::optional<move> best;
    double best_rate = 0;
    for (const move & back : ways) {
        const combination without = moved(c, back);
        const double left = is_dense(without) ? 0 : kl(without, false);
        const double rate = (now - left) / -back.saved;
        if (rate > best_rate) {
            best = back;
            best_rate = rate;
        }
    }
    return best;
}

void exchange(choice_table table, double budget, const combination_kl & kl, std::vector<combination> & path) {
    while (path.size() > 1) {
        const std::optional<move> back = best_way_back(table, path.back(), kl);
        if (!back) {
            return;
        }
        // For good: what the layer had cost too much.
        withdraw(table, {back->layer, path.back().entries[back->layer], 0, 0});
        std::vector<combination> way = {moved(path.back(), *back)};
        go_forward(table, budget, kl, way);
        if (!(way.back().saved > path.back().saved)) {
            return;
        }
        path.push_back(std::move(way.back()));
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

searched_path search_mix(const choice_table & table, double budget, const combination_kl & kl) {
    searched_path found;
    found.path = make_frontier(table);
    const auto n_sizes = static_cast<int64_t>(found.path.size()) - 1;
    const selection along = choose_size(n_sizes, 1, budget, false, [&](int64_t number, bool held_out) {
        return kl(found.path[static_cast<size_t>(number)], held_out);
    });
    found.path.resize(static_cast<size_t>(along.size) + 1);
    go_forward(table, budget, kl, found.path);
    exchange(table, budget, kl, found.path);
    found.taken = go_back(found.path, budget, kl);
    return found;
}

}  // namespace tmx
