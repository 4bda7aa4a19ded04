// planner/settings.h -- what a planner is to do.
#pragma once

#include <vector>

#include "planner/menu.h"
#include "profile/settings.h"

namespace tmx {

// Of `base` the model, prompts, shape, device, precision and record file count; `value` is the budget.
struct planner_settings {
    profile_settings base;
    std::vector<menu_entry> menu;  // at least one

    double budget() const { return base.value; }
};

}  // namespace tmx
