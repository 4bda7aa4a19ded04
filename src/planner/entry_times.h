// planner/entry_times.h -- from whole prefills with an entry in every layer to the time that it saves in each.
#pragma once

#include <vector>

#include "planner/layer_costs.h"

namespace tmx {

// A prompt computed with all candidates dense, and with all of them taking one entry.
struct time_pair {
    std::vector<layer_cost> dense;  // [n_layer], or of what mixes start from
    std::vector<layer_cost> sparse;
    double dense_seconds = 0;  // of the whole prefill
    double sparse_seconds = 0;
};
using costs_of_pair = std::vector<layer_cost> time_pair::*;

// Seconds of a prompt that the entry saves in each layer of `layers`; may be below 0.
//
// What it saves in all layers together is the median over prompts: of the attention's seconds where the statistics
// count them (by_statistics), else of the whole prefill, in which what is not attention is the same. A layer's part of
// that is its part of the pairs that are skipped beyond those of dense, since a single layer's seconds are too few to
// be measured well; equal parts, where the backend does not know what it skips. REQUIRES at least one prompt.
std::vector<double> saved_by_layer(const std::vector<time_pair> & prompts, const std::vector<int32_t> & layers,
                                   bool by_statistics);

// Share of its own pairs that each layer of `layers` computes in one of both, on average over prompts.
std::vector<double> kept_by_layer(const std::vector<time_pair> & prompts, const std::vector<int32_t> & layers,
                                  costs_of_pair which);

}  // namespace tmx
