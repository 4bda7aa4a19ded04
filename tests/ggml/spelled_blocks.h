// Masks that spell out which blocks method `stride` selects, from its definition.
#pragma once

#include <algorithm>
#include <cstdint>

#include "steps.h"

namespace tmx::test {

// The mask of a ubatch of one run that ends with k_shape.n_last dense rows, for a layer that selects every stride-th
// block back from each tile's last row, and whole blocks of which a row keeps a key through the band if it is `banded`.
inline fake_ubatch spelled_blocks(fake_ubatch ubatch, const fake_cache & cache, int64_t stride, bool banded) {
    const int64_t n_selected = ubatch.n_rows - k_shape.n_last;
    const auto position = [&](int64_t row) { return int64_t{ubatch.positions[static_cast<size_t>(row)]}; };
    for (int64_t row = 0; row < n_selected; ++row) {
        const int64_t first = row / 128 * 128;
        const int64_t last = std::min(first + 128, n_selected) - 1;
        const auto in_band = [&](int64_t block) {
            for (int64_t other = first; other <= last; ++other) {
                const int64_t begin = position(other) - k_shape.n_window + 1;
                if (block * 128 <= position(other) && block * 128 + 127 >= begin) {
                    return true;
                }
            }
            return false;
        };
        for (int64_t cell = 0; cell < ubatch.n_kv; ++cell) {
            const int64_t block = cache.cells()[static_cast<size_t>(cell)].position / 128;
            const bool kept = block == 0 || block >= position(first) / 128 ||
                              (position(last) / 128 - block) % stride == 0 || (banded && in_band(block));
            if (ubatch.visible(0, row, cell) && !kept) {
                ubatch.mask_at(row, cell) = ubatch_view::k_hidden;
            }
        }
    }
    return ubatch;
}

// Of the first rows.
inline int64_t visible_entries(const fake_ubatch & ubatch, int64_t n_rows) {
    int64_t n = 0;
    for (int64_t row = 0; row < n_rows; ++row) {
        for (int64_t cell = 0; cell < ubatch.n_kv; ++cell) {
            n += ubatch.visible(0, row, cell) ? 1 : 0;
        }
    }
    return n;
}

inline int64_t visible_entries(const fake_ubatch & ubatch) {
    return visible_entries(ubatch, ubatch.n_rows);
}

}  // namespace tmx::test
