// What rows of a mask have in common, and how many entries of each kind one has.
#pragma once

#include <cstdint>
#include <cstring>

#include "backend/runs/ubatch_runs.h"
#include "trianglemix/cuda_mask_rows.h"

namespace tmx {

// Whether n entries of a row are those of the row before it, which was read just now. The row itself comes from memory,
// and processors follow a stream of reads to the end of a page only: it is fetched ahead, a fifth less time on a Xeon.
inline bool same_entries(const uint16_t * mask, const uint16_t * mask_before, int64_t n) {
    constexpr int64_t k_page = 4096 / sizeof(uint16_t);
    constexpr int64_t k_line = 64 / sizeof(uint16_t);
    int64_t i = 0;
    for (; i + k_page <= n; i += k_page) {
        for (int64_t line = i + 3 * k_page <= n ? 0 : k_page; line < k_page; line += k_line) {
            __builtin_prefetch(mask + i + 2 * k_page + line, 0, 2);
        }
        if (std::memcmp(mask + i, mask_before + i, k_page * sizeof(uint16_t)) != 0) {
            return false;
        }
    }
    return std::memcmp(mask + i, mask_before + i, static_cast<size_t>(n - i) * sizeof(uint16_t)) == 0;
}

// Whether two rows are bytewise equal but for one cell, visible in the later one and hidden in the one before.
inline bool adds_only(int64_t cell, const uint16_t * mask, const uint16_t * mask_before, int64_t n_kv) {
    return mask[cell] == ubatch_view::k_visible && mask_before[cell] == ubatch_view::k_hidden &&
           same_entries(mask, mask_before, cell) &&
           same_entries(mask + cell + 1, mask_before + cell + 1, n_kv - cell - 1);
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
