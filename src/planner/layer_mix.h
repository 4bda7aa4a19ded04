// planner/layer_mix.h -- which entry of a menu each layer takes, and the plan that this makes.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "planner/menu.h"
#include "trianglemix/plan.h"

namespace tmx {

constexpr int32_t k_dense = -1;

using layer_mix = std::vector<int32_t>;  // [n_layer]: the number of an entry, or k_dense

// These layers take the entry, all others are dense.
layer_mix mix_of(int32_t n_layer, std::span<const int32_t> layers, int32_t entry);

// The same mix gives the same text: "triangle 0-3,7; stride:stride=10 8-9", in the menu's order; "dense".
std::string text_of(const layer_mix & mix, std::span<const menu_entry> menu);

// Its tail policy is `prompt`: whoever measures knows the length. An entry's window that is not shape's is its layers'
// own.
//
// start: [n_layer], or empty: triangle layers and heads, which stay what they are. An entry is what the layer's other
// heads do.
plan plan_of_mix(const layer_mix & mix, std::span<const menu_entry> menu, const model_shape & model,
                 const triangle_shape & shape, std::span<const layer_plan> start = {});

}  // namespace tmx
