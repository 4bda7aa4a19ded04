// profile/unit_set.h -- what is chosen: layers, or single heads of layers; and the plan that a choice makes.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "identity/model_identity.h"
#include "probe/unit.h"
#include "trianglemix/plan.h"

namespace tmx {

std::string name_of(const unit & u);  // "12", "12.3"

// Every layer, or every head of every layer, that can be triangle: those without a window (attention_windows()).
std::vector<unit> all_units(const model_shape & model, bool heads, std::span<const int32_t> windows = {});

// A plan in which exactly these units are triangle. Its tail policy is `prompt`: whoever measures knows the length.
// REQUIRES units of the model, none twice, all layers or all heads.
plan plan_of_units(std::span<const unit> units, const model_shape & model, const triangle_shape & shape);

// The same set gives the same text: "0,4,12-29", or "12:0-3;13:7" for heads; "none" if empty.
std::string format_units(std::span<const unit> units);

}  // namespace tmx
