// planner/start/harmful_heads.h -- which heads of a start do most of its harm, by what they do alone.
#pragma once

#include <functional>
#include <vector>

#include "probe/unit.h"

namespace tmx {

// Mean KL over all positions with these units triangle, and all else dense.
using kl_alone_of = std::function<double(const std::vector<unit> & units)>;

// 1. Each layer's heads alone. A head's share is the mean: all of it, divided by the number of heads.
// 2. In layers whose heads do more than their share on average: each head alone.
// Those are harmful that do more than three times their share; ascending. Where all do about the same, none are.
//
// units: the start's, ascending, none twice. Where they are layers, none are harmful, and nothing is measured.
std::vector<unit> harmful_alone(const std::vector<unit> & units, const kl_alone_of & kl_alone);

// Measurements that it makes: of each layer, and of that many heads as a guess.
size_t expected_lone_trials(const std::vector<unit> & units);

}  // namespace tmx
