// The trivial method, which shows what a method is: every stride-th block, counted back from that of the tile's last
// row. It looks at no query and no key. Host and device compute the same words.
#pragma once

#include "trianglemix/selection.h"

namespace tmx {

TMX_HOST_DEVICE constexpr uint32_t stride_bits(int64_t stride, index_range rows, int64_t word) {
    const int64_t last = blocks_of(rows).end - 1;
    uint32_t bits = 0;
    for (int64_t bit = 0; bit < k_word_bits; ++bit) {
        const int64_t back = last - (word * k_word_bits + bit);
        bits |= uint32_t{back >= 0 && back % stride == 0} << bit;
    }
    return bits;
}

constexpr int64_t stride_of(const selection_rule & rule) {
    return static_cast<int64_t>(rule.values[0]);
}

}  // namespace tmx
