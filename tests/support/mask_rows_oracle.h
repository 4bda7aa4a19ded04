// What cuda_compare_mask_rows() is to find, entry by entry.
#pragma once

#include <cstdint>
#include <span>

#include "trianglemix/cuda_mask_rows.h"

namespace tmx::test {

inline void expected_mask_rows(const device_mask & mask, std::span<const int32_t> cells, std::span<uint8_t> found) {
    constexpr uint16_t k_zero = 0;
    constexpr uint16_t k_minus_infinity = 0xfc00;
    const auto entry = [&](int64_t stream, int64_t row, int64_t cell) {
        return static_cast<const uint16_t *>(mask.data)[stream * mask.stride_stream + row * mask.stride_row + cell];
    };
    for (int64_t i = 0; i < mask.n_stream * mask.n_rows; ++i) {
        const int64_t stream = i / mask.n_rows;
        const int64_t row = i % mask.n_rows;
        const int64_t own = cells[static_cast<size_t>(i)];
        uint8_t & says = found[static_cast<size_t>(i)];
        says = 0;
        if (own < 0 || own >= mask.n_kv) {
            continue;
        }
        const bool hides = entry(stream, row, own) == k_minus_infinity;
        bool adds = row > 0;
        for (int64_t cell = 0; cell < mask.n_kv && adds; ++cell) {
            const uint16_t here = entry(stream, row, cell);
            const uint16_t before = entry(stream, row - 1, cell);
            adds = cell == own ? here == k_zero && before == k_minus_infinity : here == before;
        }
        says = static_cast<uint8_t>((hides ? k_hides_own : 0) + (adds ? k_adds_own : 0));
    }
}

}  // namespace tmx::test
