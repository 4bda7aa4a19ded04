// planner/layer_mix.h -- which entry of a menu each layer takes, or some of its heads, and the plan that this makes.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "planner/menu.h"
#include "trianglemix/plan.h"

namespace tmx {

constexpr int32_t k_dense = -1;

// What a layer takes.
struct layer_entry {
    int32_t entry = k_dense;            // its number, or k_dense
    std::vector<int32_t> of_head = {};  // [n_head] the same head by head, where heads differ; then `entry` is k_dense.
                                        // Empty: they do not differ

    bool takes_any() const { return entry != k_dense || !of_head.empty(); }
    int32_t of(size_t head) const { return of_head.empty() ? entry : of_head[head]; }
    bool operator==(const layer_entry &) const = default;
};

using layer_mix = std::vector<layer_entry>;  // [n_layer]

// These layers take the entry, all others are dense.
layer_mix mix_of(int32_t n_layer, std::span<const int32_t> layers, int32_t entry);

// Whether a head is left to the entries by what its layer is at the start.
bool dense_at(const layer_plan & start, size_t head);

// The same mix gives the same text: "triangle 0-3,7; stride:stride=10 8-9 heads 4:0,2;5:1", in the menu's order;
// "dense".
std::string text_of(const layer_mix & mix, std::span<const menu_entry> menu);

// Its tail policy is `prompt`: whoever measures knows the length. An entry's window that is not shape's is its layers'
// own.
//
// start: [n_layer], or empty: triangle layers and heads, which stay what they are. An entry is what the layer's other
// heads do, or those of them that take it. A layer has one window of its own: the first head's that has one.
plan plan_of_mix(const layer_mix & mix, std::span<const menu_entry> menu, const model_shape & model,
                 const triangle_shape & shape, std::span<const layer_plan> start = {});

}  // namespace tmx
