// planner/mix_applied.h -- whether the backend computed a mix as it was planned. What it cannot treat by a plan it
// computes exactly, and that would look harmless.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "planner/layer_mix.h"
#include "runtime/statistics.h"

namespace tmx {

// "" if the statistics are of one prefill of n_tokens, of which the first n_there were computed before, in which every
// layer was treated as the mix says: Triangle layers skipped exactly the pairs that they drop, in dynamic layers blocks
// were selected, and nothing fell back. Else which layer was not, why, and what to do.
//
// planned: of plan_of_mix(), which see.
std::string why_not_applied(const backend_statistics & s, const layer_mix & mix, std::span<const menu_entry> menu,
                            const plan & planned, int64_t n_tokens, int64_t n_there);

}  // namespace tmx
