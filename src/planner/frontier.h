// planner/frontier.h -- from what each choice for each layer costs and saves to the combinations worth having.
//
// The damage of a combination is taken to be the sum of its layers'. That is a model: independent small changes of a
// distribution add up in KL on average. What a combination really does is measured before it is taken.
//
// THREADS  Pure functions; the same table gives the same result.
#pragma once

#include <cstdint>
#include <vector>

namespace tmx {

// An entry of the menu in one layer.
struct choice_cost {
    double damage = 0;    // nats
    double saved = 0;     // against dense: seconds, or whatever a mix is to save
    bool offered = true;  // false: no combination takes it
};
using choice_table = std::vector<std::vector<choice_cost>>;  // [layer][entry]

// Takes off the table what no good combination needs: what saves nothing; what alone does more damage than the budget;
// what another entry of the layer beats, which saves at least as much and does at most that damage (of equals the first
// stays).
void drop_useless(choice_table & table, double budget);

struct combination {
    std::vector<int32_t> entries;  // [layer]; < 0: dense
    double damage = 0;             // sums over layers
    double saved = 0;
};

// Combinations from all dense to the fastest, each with one layer changed from the one before, in which damage and time
// saved grow. Of each, or of those with equal damage of the last: no combination of at most its damage saves more. They
// are the steps of the layers' lower convex hulls in the order of damage per second saved; equal ones in the order of
// layers. A damage below 0 counts as 0, one that is no number as infinite; infinite ones are not taken.
std::vector<combination> make_frontier(const choice_table & table);

}  // namespace tmx
