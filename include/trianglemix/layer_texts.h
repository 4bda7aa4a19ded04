// trianglemix/layer_texts.h -- what a plan does in which layers, as logs, statistics and programs say it.
//
// THREADS  Pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "trianglemix/plan.h"

namespace tmx {

// Triangle layers that keep the same band.
struct band_text {
    std::string layers;  // "16-31"
    int64_t n_sink = 0;
    int64_t n_window = 0;
};

// In the order of their first layers.
std::vector<band_text> band_texts(const plan & p);

// Layers in which the same heads select by the same rule.
struct selection_text {
    std::string rule;    // format_selection()
    std::string layers;  // "0-9"
    std::string heads;   // "0-3"; "": every head
    int64_t min_tokens = 0;

    std::string text() const;  // rule, heads and tokens
};

// In the order of their first layers.
std::vector<selection_text> selection_texts(const plan & p);

// The dense ones of a model's layers: "0,4,7-9", or "none".
std::string dense_layers(const plan & p, int32_t n_layer);

}  // namespace tmx
