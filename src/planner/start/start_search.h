// planner/start/start_search.h -- which of the heads that mixes start from are given back: those that do most of the
// harm, found by measuring the start without them.
//
// Few of a start's heads do most of what it does to answers, and the gradients that found them do not say which.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "probe/unit.h"

namespace tmx {

// Of a start, in nats, on prompts that choose.
struct start_effect {
    double first_kl = 0;  // of the first token, the mean at the length where it is largest: what a budget is about
    double harm = 0;      // mean of the first token and mean of the following ones: what heads are ranked by. The first
                          // token is what counts; those that follow are many, and say it with less noise
};

// A start without some of its units, as it was measured.
struct start_trial {
    std::vector<unit> given_back;  // ascending; empty: the whole start
    start_effect effect;
};

struct start_search {
    std::vector<start_trial> tried;  // in the order of measuring, the whole start first
    std::vector<unit> given_back;    // ascending
    start_effect after;              // without them

    const start_effect & before() const { return tried.front().effect; }
};

// Layers of which heads are measured one by one, at most.
constexpr size_t k_most_layers_by_head = 6;

// 1. The start. If its first_kl is at most the target, nothing is given back.
// 2. Without each of its layers, all else as it is: what that takes off the harm is the layer's gain.
// 3. In the layers of the largest gains, as many as together gain twice what has to be saved: without each head alone.
// 4. Heads are given back one after the other in descending order of their gains, each measured in company; one that
//    does not lower the harm stays.
// 5. The same with whatever is left of layers, in descending order of theirs.
// Ends as soon as first_kl is at most the target; it may not get there. No set of units is measured twice.
//
// units: the start's, ascending, none twice. effect_of: of the start without the units given back, ascending.
using start_effect_of = std::function<start_effect(const std::vector<unit> & given_back)>;
start_search search_start(const std::vector<unit> & units, double target, const start_effect_of & effect_of);

enum class start_verdict : uint8_t { good, beyond_on_choosing, beyond_on_held_out };

struct settled_start {
    start_search search;
    start_verdict verdict = start_verdict::good;
};

// search_start() with a share of the budget as its target. Where prompts held out find what is left beyond the budget,
// again with half of what was aimed at or reached, whichever is less; three times at most. What is measured again is
// asked for again.
settled_start settle_start(const std::vector<unit> & units, double share, double budget,
                           const start_effect_of & effect_of,
                           const std::function<double(const std::vector<unit> & given_back)> & held_out_kl);

// [layers], in their order. units: ascending.
std::vector<std::vector<unit>> units_by_layer(const std::vector<unit> & units);

// Measurements that search_start() makes at most.
size_t most_start_trials(const std::vector<unit> & units);

}  // namespace tmx
