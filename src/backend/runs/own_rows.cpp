#include "backend/runs/own_rows.h"

#include "backend/runs/mask_rows.h"
#include "backend/runs/row_positions.h"

namespace tmx {

std::vector<own_row> read_rows(const ubatch_view & view, const cell_table & table, const key_probe & keys) {
    std::vector<own_row> rows(static_cast<size_t>(view.n_stream * view.n_rows));
    const std::vector<int32_t> ranks =
        view.positions == nullptr ? positions_from_mask(view, table, keys) : std::vector<int32_t>{};
    const int32_t * positions = view.positions == nullptr ? ranks.data() : view.positions;
    for (int64_t i = 0; i < view.n_stream * view.n_rows; ++i) {
        // Unsigned: an index before the stream's first cell becomes a huge one, and nothing can overflow.
        const uint64_t cell = static_cast<uint64_t>(view.own_cells[i]) -
                              static_cast<uint64_t>(view.first_cell[static_cast<size_t>(i / view.n_rows)]);
        own_row & row = rows[static_cast<size_t>(i)];
        if (cell >= static_cast<uint64_t>(view.n_kv)) {
            continue;
        }
        if (positions[i] >= 0) {
            row = {static_cast<int32_t>(cell), positions[i]};
        } else {
            row.reason = reason_of(positions[i]);
        }
    }
    return rows;
}

void learn_rows(const ubatch_view & view, cell_table & table, const key_probe & keys) {
    const std::vector<own_row> rows = read_rows(view, table, keys);
    for (size_t i = 0; i < rows.size(); ++i) {
        const auto row = static_cast<int64_t>(i);
        if (rows[i].cell < 0) {
            table.forget(view.own_cells[i], 1);
            continue;
        }
        if (hides_own(view, row / view.n_rows, row % view.n_rows, rows[i].cell)) {
            table = {};
            return;
        }
        table.learn(view.own_cells[i], rows[i].position, keys);
    }
}

}  // namespace tmx
