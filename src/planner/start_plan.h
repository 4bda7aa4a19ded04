// planner/start_plan.h -- what every mix of a planner starts from: triangle layers and heads, which it keeps.
#pragma once

#include <string>

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

}  // namespace tmx
