// planner/settings.h -- what a planner is to do.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "planner/menu.h"
#include "planner/start/start_plan.h"
#include "profile/settings.h"

namespace tmx {

// What a mix is to save: seconds on the machine that measures, or attention pairs, which are the same on any machine.
enum class planner_aim : uint8_t { time, pairs };
constexpr const char * name_of(planner_aim aim) {
    return aim == planner_aim::time ? "time" : "pairs";
}

// Of `base` the model, prompts, shape, device, precision and record file count; `value` is the budget, and with
// `per_head` layers that take nothing as a whole are looked at head by head.
struct planner_settings {
    profile_settings base;
    std::vector<menu_entry> menu;  // at least one
    planner_aim aim = planner_aim::time;
    bool plan_only = false;           // leaves out the search with Triangle attention alone
    std::optional<start_plan> start;  // none: what takes no entry is dense
    double start_share = 0.5;         // of the budget, that the start may take by itself

    double budget() const { return base.value; }
    std::vector<layer_plan> start_layers() const { return start ? start->value.layers : std::vector<layer_plan>(); }
};

}  // namespace tmx
