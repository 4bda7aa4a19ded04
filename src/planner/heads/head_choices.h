// planner/heads/head_choices.h -- layers that as a whole take nothing, looked at head by head: mostly one or two of a
// layer's heads do what it does.
//
// THREADS  Pure functions; the same result gives the same lists.
#pragma once

#include <vector>

#include "planner/lone_choices.h"
#include "planner/planner_result.h"
#include "planner/settings.h"

namespace tmx {

// The layers that the combination leaves dense, and in which something was measured that saves; each with what of it
// does the least damage: bolder entries would take as long again to measure, in layers that hardly take that one.
std::vector<lone_choice> layers_left(const planner_result & r, const combination & c, planner_aim aim);

// Of a layer: heads that may take an entry, those that the start leaves dense. start: its layers, or empty.
std::vector<unit> free_heads(int32_t layer, int32_t n_head, const std::vector<layer_plan> & start);
// The same as a layer takes an entry with them.
layer_entry on_heads(const std::vector<unit> & heads, int32_t n_head, int32_t entry);

// A free head, measured with its layer's choice alone.
struct lone_head {
    unit head;
    lone_choice of_layer;
    damage alone;
    double skipped = 0;  // pairs
};

// They become candidates in place of their layers. A head's damage and what it saves are its parts of its layer's:
// heads that share a key head keep the union of their blocks, so together they do less of both than alone.
// measured: of each layer all free heads, with each of its entries.
void add_heads(planner_result & r, const std::vector<lone_head> & measured);

}  // namespace tmx
