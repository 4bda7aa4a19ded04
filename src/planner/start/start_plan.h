// planner/start/start_plan.h -- what every mix of a planner starts from: triangle layers and heads, which it keeps.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "probe/unit.h"
#include "trianglemix/plan.h"

namespace tmx {

struct start_plan {
    std::string file;    // as users named it
    std::string sha256;  // of its layers
    plan value;
};

// ERRORS contradiction: the plan does not fit the model, or has something else than triangle layers and heads of that
// shape.
start_plan make_start(const std::string & file, const plan & value, const model_shape & model,
                      const triangle_shape & shape);

// What of it can be given back, ascending: its triangle heads; layers, where the model's number of heads is not known.
std::vector<unit> units_of(const start_plan & start);

// With these units dense; its records are others. REQUIRES units of the start, none twice.
start_plan start_without(const start_plan & start, std::span<const unit> given_back);

// With these units alone, all else dense. REQUIRES units of the start, none twice.
start_plan start_of_only(const start_plan & start, std::span<const unit> kept);

// For people: "start", "start without layer 7", "start without head 3 of layer 7", "start without 3:2,5;7:3".
std::string text_of_start(const start_plan & start, const std::vector<unit> & given_back);

}  // namespace tmx
