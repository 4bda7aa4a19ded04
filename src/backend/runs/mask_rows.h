// What rows of a mask have in common, and how many entries of each kind one has.
#pragma once

#include <cstdint>
#include <cstring>

#include "backend/runs/ubatch_runs.h"
#include "trianglemix/cuda_mask_rows.h"

namespace tmx {

// Whether two rows are bytewise equal but for one cell, visible in the later one and hidden in the one before.
inline bool adds_only(int64_t cell, const uint16_t * mask, const uint16_t * mask_before, int64_t n_kv) {
    return mask[cell] == ubatch_view::k_visible && mask_before[cell] == ubatch_view::k_hidden &&
           std::memcmp(mask, mask_before, static_cast<size_t>(cell) * sizeof(uint16_t)) == 0 &&
           std::memcmp(mask + cell + 1, mask_before + cell + 1,
                       static_cast<size_t>(n_kv - cell - 1) * sizeof(uint16_t)) == 0;
}

// The same of a row of the view and the one before it, about the row's own cell. REQUIRES row > 0, cell is in range.
inline bool adds_own_only(const ubatch_view & view, int64_t stream, int64_t row, int64_t cell) {
    return view.far != nullptr ? (view.far->own_entry(stream * view.n_rows + row) & k_adds_own) != 0
                               : adds_only(cell, view.mask_row(stream, row), view.mask_row(stream, row - 1), view.n_kv);
}

// Whether a row does not see its own cell. REQUIRES cell is in range.
inline bool hides_own(const ubatch_view & view, int64_t stream, int64_t row, int64_t cell) {
    return view.far != nullptr ? (view.far->own_entry(stream * view.n_rows + row) & k_hides_own) != 0
                               : view.mask_row(stream, row)[cell] == ubatch_view::k_hidden;
}

struct mask_counts {
    int64_t visible = 0;
    int64_t hidden = 0;
};

inline mask_counts count_entries(const uint16_t * mask, int64_t n_kv) {
    mask_counts counts;
    for (int64_t j = 0; j < n_kv; ++j) {
        counts.visible += mask[j] == ubatch_view::k_visible;
        counts.hidden += mask[j] == ubatch_view::k_hidden;
    }
    return counts;
}

}  // namespace tmx
