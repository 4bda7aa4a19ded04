// planner/lone_choices.h -- which choices are measured in one layer alone, and which need not be.
//
// THREADS  Pure functions; the same result gives the same lists.
#pragma once

#include <cstddef>
#include <vector>

#include "planner/planner_result.h"
#include "planner/settings.h"

namespace tmx {

struct lone_choice {
    size_t layer = 0;  // number in planner_result::layers
    size_t entry = 0;
    bool operator==(const lone_choice &) const = default;
    bool operator<(const lone_choice & other) const {
        return layer != other.layer ? layer < other.layer : entry < other.entry;
    }
};

// What the choice saves, by what the mix is to save: seconds, or the share of the layer's pairs.
double saving_of(const measured_choice & choice, planner_aim aim);

// Of each layer the entry that is to be measured next on the shortest prompts: of those that save anything and were not
// measured the one that saves most. None of a layer in which an entry was seen to be harmless: even if all layers did
// what it does, it would be a quarter of the budget, and those left save less.
std::vector<lone_choice> next_choices(const planner_result & r, planner_aim aim, double budget);

// What a search is given: of what was measured; of layers with heads that are candidates only these.
choice_table table_of(const planner_result & r, planner_aim aim);

// What the table's frontier takes of it in some combination of at most that damage, layer by layer.
std::vector<lone_choice> on_frontier(const choice_table & table, double most_damage);

// Of these, what was not measured on the longest prompts.
std::vector<lone_choice> next_at_long(const planner_result & r, const choice_table & table, double most_damage);

}  // namespace tmx
