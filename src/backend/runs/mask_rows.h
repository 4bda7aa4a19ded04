// What rows of a mask have in common, and how many entries of each kind one has.
#pragma once

#include <cstdint>
#include <cstring>

#include "backend/runs/ubatch_runs.h"

namespace tmx {

// Whether two rows are bytewise equal but for one cell, visible in the later one and hidden in the one before.
inline bool adds_only(int64_t cell, const uint16_t * mask, const uint16_t * mask_before, int64_t n_kv) {
    return mask[cell] == ubatch_view::k_visible && mask_before[cell] == ubatch_view::k_hidden &&
           std::memcmp(mask, mask_before, static_cast<size_t>(cell) * sizeof(uint16_t)) == 0 &&
           std::memcmp(mask + cell + 1, mask_before + cell + 1,
                       static_cast<size_t>(n_kv - cell - 1) * sizeof(uint16_t)) == 0;
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
