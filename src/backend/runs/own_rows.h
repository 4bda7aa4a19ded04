// Where each row of a ubatch has its own key: the cell that it goes to and the position that it has.
#pragma once

#include <cstdint>
#include <vector>

#include "backend/runs/cell_table.h"
#include "backend/runs/ubatch_runs.h"

namespace tmx {

struct own_row {
    int32_t cell = -1;  // on the stream's key axis; -1: there is none, or no position
    int32_t position = -1;
    mask_reason reason = mask_reason::cell_range;  // if there is none
};

// [n_stream, n_rows]. REQUIRES as learn_rows().
std::vector<own_row> read_rows(const ubatch_view & view, const cell_table & table, const key_probe & keys);

// Learns the cells of all rows, whatever becomes of these; forgets those of rows without a certain position. Inputs in
// which a row does not see its own cell are none: then everything is forgotten.
// REQUIRES every pointer of the view but `positions` set, n_stream, n_rows, n_kv >= 1 and n_kv < 2^31. Values are
//          checked, not trusted. `keys` addresses cells counted over the whole cache; the rows' keys are there by now.
void learn_rows(const ubatch_view & view, cell_table & table, const key_probe & keys);

}  // namespace tmx
