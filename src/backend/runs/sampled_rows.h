// What samples of a run's mask rows say. Each read misses the cache, so there are few of them.
#pragma once

#include <span>

#include "backend/runs/own_rows.h"
#include "backend/runs/ubatch_runs.h"

namespace tmx {

// Whether a few entries of each row, and all of the last one, are as in a causal run; of its first row all was read.
// REQUIRES `rows` are read_rows() of the view, and `run` holds the cells of its keys.
bool samples_agree(const ubatch_view & view, std::span<const own_row> rows, const causal_run & run);

}  // namespace tmx
