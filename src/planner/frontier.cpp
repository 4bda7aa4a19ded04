#include "planner/frontier.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <tuple>

namespace tmx {
namespace {

constexpr double k_infinite = std::numeric_limits<double>::infinity();

double damage_of(const choice_cost & cost) {
    return std::isnan(cost.damage) ? k_infinite : std::max(cost.damage, 0.0);
}

bool usable(const choice_cost & cost) {
    return cost.offered && cost.saved > 0 && damage_of(cost) < k_infinite;
}

struct point {
    double saved = 0;
    double damage = 0;
    int32_t entry = -1;
};

double slope(const point & from, const point & to) {
    return (to.damage - from.damage) / (to.saved - from.saved);
}

// The layer's choices on its lower convex hull, dense first; time saved and slopes ascend.
std::vector<point> hull_of(const std::vector<choice_cost> & entries) {
    std::vector<point> points;
    for (size_t entry = 0; entry < entries.size(); ++entry) {
        if (usable(entries[entry])) {
            points.push_back({entries[entry].saved, damage_of(entries[entry]), static_cast<int32_t>(entry)});
        }
    }
    // Of equal savings the least damage comes first, and the rest is skipped.
    std::sort(points.begin(), points.end(), [](const point & a, const point & b) {
        return std::tie(a.saved, a.damage, a.entry) < std::tie(b.saved, b.damage, b.entry);
    });
    std::vector<point> hull = {{}};
    for (const point & next : points) {
        if (next.saved == hull.back().saved) {
            continue;
        }
        // What lies above the line past it is no corner.
        while (hull.size() > 1 && slope(hull[hull.size() - 2], hull.back()) > slope(hull.back(), next)) {
            hull.pop_back();
        }
        hull.push_back(next);
    }
    return hull;
}

struct step {
    double slope = 0;
    size_t layer = 0;
    double saved = 0;
    double damage = 0;
    int32_t entry = -1;
};

}  // namespace

void drop_useless(choice_table & table, double budget) {
    for (std::vector<choice_cost> & entries : table) {
        for (choice_cost & cost : entries) {
            cost.offered = usable(cost) && damage_of(cost) <= budget;
        }
        std::vector<bool> beaten(entries.size(), false);
        for (size_t i = 0; i < entries.size(); ++i) {
            for (size_t j = 0; j < entries.size(); ++j) {
                const auto [saved_i, damage_i] = std::pair(entries[i].saved, damage_of(entries[i]));
                const auto [saved_j, damage_j] = std::pair(entries[j].saved, damage_of(entries[j]));
                const bool as_good = entries[j].offered && saved_j >= saved_i && damage_j <= damage_i;
                const bool better = saved_j > saved_i || damage_j < damage_i;
                beaten[i] = beaten[i] || (i != j && as_good && (better || j < i));
            }
        }
        for (size_t i = 0; i < entries.size(); ++i) {
            entries[i].offered = entries[i].offered && !beaten[i];
        }
    }
}

std::vector<combination> make_frontier(const choice_table & table) {
    std::vector<step> steps;
    for (size_t layer = 0; layer < table.size(); ++layer) {
        const std::vector<point> hull = hull_of(table[layer]);
        for (size_t i = 1; i < hull.size(); ++i) {
            const point & from = hull[i - 1];
            const point & to = hull[i];
            steps.push_back({slope(from, to), layer, to.saved - from.saved, to.damage - from.damage, to.entry});
        }
    }
    // A layer's own steps keep their order: their slopes ascend.
    std::stable_sort(steps.begin(), steps.end(), [](const step & a, const step & b) {
        return std::tie(a.slope, a.layer) < std::tie(b.slope, b.layer);
    });
    std::vector<combination> frontier(1);
    frontier.front().entries.assign(table.size(), -1);
    for (const step & s : steps) {
        combination next = frontier.back();
        next.entries[s.layer] = s.entry;
        next.saved += s.saved;
        next.damage += s.damage;
        frontier.push_back(std::move(next));
    }
    return frontier;
}

}  // namespace tmx
