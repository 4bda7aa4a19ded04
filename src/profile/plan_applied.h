// profile/plan_applied.h -- whether the backend computed a set as it was planned.
//
// What the backend cannot treat by a plan it computes exactly. A set measured like that has a KL of 0, and would rank
// as the most harmless of all.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "profile/unit_set.h"
#include "runtime/statistics.h"

namespace tmx {

// "" if the statistics, of one prefill of n_tokens with the set triangle, skipped exactly the pairs that the set drops;
// else what was computed instead, why, and what to do. REQUIRES a set of the model, not empty.
std::string why_not_applied(const backend_statistics & s, std::span<const unit> set, const model_shape & model,
                            const triangle_shape & shape, int64_t n_tokens);

// All the reasons that the statistics give for what was not computed by a plan, and what to do about it.
std::string reasons_and_remedies(const backend_statistics & s);

}  // namespace tmx
