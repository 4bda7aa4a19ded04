// Positions of a ubatch's rows where the graph does not simply hold one a row. Plain arrays in, plain values out.
#pragma once

#include <cstdint>
#include <vector>

#include "backend/runs/cell_table.h"
#include "backend/runs/ubatch_runs.h"

namespace tmx {

// Why the rows of that "position" are masked. REQUIRES position < 0.
mask_reason reason_of(int32_t position);

// One position a row from several (M-RoPE: time, height, width, and one that is not used), which come section by
// section: that of text, whose sections agree; else one for which reason_of() is positions_2d.
std::vector<int32_t> text_positions(const int32_t * sections, int64_t n_tokens, int64_t n_sections);

// [n_stream, n_rows] for a model without positions (recurrent layers see to the order): a row's rank, if it is certain.
// It is for a row that sees nothing but its own key, and for one that sees the row before it in the ubatch and goes on
// from there. For any other row the mask's count decides, and then the table must know all other keys that it sees, and
// they must be ranks 0, 1, 2, ... without a gap: so nothing was removed, and nothing is out of sight. A row without a
// certain rank gets a "position" with reason_of() no_inputs, or mask_values where its mask holds other than 0 and -inf.
// What a row sees beside these is for find_runs() to check.
//
// REQUIRES as find_runs().
// COST     A mask row for each row that does not go on from the one before; three entries of it for every other.
std::vector<int32_t> positions_from_mask(const ubatch_view & view, const cell_table & table, const key_probe & keys);

}  // namespace tmx
