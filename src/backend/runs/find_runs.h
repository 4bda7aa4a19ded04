// Cuts a ubatch's rows into causal runs, from the attention mask and the other inputs of the graph. Plain arrays in,
// plain values out.
#pragma once

#include <optional>

#include "backend/runs/cell_table.h"
#include "backend/runs/ubatch_runs.h"

namespace tmx {

// REQUIRES as learn_rows() (own_rows.h), which comes first: runs of one sequence see each other's cells.
// COST     One pass over the mask (2 bytes a pair), on n_threads.
ubatch_runs find_runs(const ubatch_view & view, const cell_table & table, const key_probe & keys, int n_threads);

// As find_runs(), having read a few entries of each row and all of each run's first and last row: O(rows + keys).
// Whatever a sliding window, an attention sink or a non-causal model does to a mask shows there, and then, or if any
// row would be masked, the result is empty: ask find_runs(). Otherwise it is what find_runs() finds, provided that the
// whole mask confirms it (mask_check.h).
std::optional<ubatch_runs> find_runs_sampled(const ubatch_view & view, const cell_table & table,
                                             const key_probe & keys);

}  // namespace tmx
