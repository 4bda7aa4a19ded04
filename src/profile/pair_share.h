// profile/pair_share.h -- how much of a model's attention a plan leaves.
#pragma once

#include <cstdint>
#include <span>

#include "trianglemix/plan.h"

namespace tmx {

// Share that the plan computes of the attention pairs that the model computes without one. windows: as
// attention_windows() reads them; such layers compute their window's pairs with the plan and without. What dynamic
// layers skip is not known before: they count as their `kind` says, so those that are not triangle count as dense.
// REQUIRES n_tokens >= 1; windows empty or [n_layer].
double pairs_kept(const plan & p, int64_t n_tokens, std::span<const int32_t> windows = {});

}  // namespace tmx
