// profile/selection.h -- from an order of units to the set that a plan makes triangle.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "profile/unit_set.h"

namespace tmx {

enum class choose_by : uint8_t {
    given,      // the user's own set, to be checked: the first N units of an order that begins with it
    count,      // the first N units of the order
    threshold,  // units whose score is at most T
    kl_budget,  // as many units as keep the mean first-token KL within B nats
};
const char * name_of(choose_by how);

// Units by score, least first; equal scores by layer and head; a score that is no number counts as the largest.
struct ordered_units {
    std::vector<unit> units;
    std::vector<double> scores;  // of units, in that order
};
ordered_units order_units(const std::vector<unit> & units, const std::vector<double> & scores);

// A set of the first `size` units, measured.
struct measured_size {
    int64_t size = 0;
    bool held_out = false;  // on prompts that had no part in choosing
    double mean_kl = 0;     // of the first token, nats
};

struct selection {
    int64_t size = 0;                     // chosen: this many units of the order
    std::vector<measured_size> measured;  // in the order of measuring
    bool checked = false;                 // the chosen set was measured on held-out prompts
};

// Mean first-token KL of a set over the prompts that choose, or over those held out.
using set_kl = std::function<double(std::span<const unit> set, bool held_out)>;

// Of a row of sets that grow from nothing (size 0, whose KL is 0) to n_sizes: a size that keeps the KL within the
// budget, and whose next larger one does not, found by bisection on the prompts that choose; then smaller, `step` sizes
// at a time, until it does on held-out prompts, too, where there are some. More than one at a time: then a bisection on
// these gives back what the last step took too much. A KL that is no number is beyond every budget.
// kl: of one size, held out or not; called for sizes >= 1.
selection choose_size(int64_t n_sizes, int64_t step, double budget, bool has_held_out,
                      const std::function<double(int64_t size, bool held_out)> & kl);

// count and threshold need no measurement; the chosen set is checked on held-out prompts where there are some.
//
// kl_budget is choose_size(): layers go back one by one; heads are many, so they go some at a time. The KL need not
// grow with the size: behind such a size there may be larger ones that are within again, by luck on these prompts. They
// are not looked for, so the same plan comes out whether or not the whole curve was measured.
//
// REQUIRES a count of at most all units.
selection choose(const ordered_units & order, choose_by how, double value, bool has_held_out, const set_kl & measure);

}  // namespace tmx
