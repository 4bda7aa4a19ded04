#pragma once

#include <cstdint>
#include <span>

#include "trianglemix/block_bitmap.h"

namespace tmx {

// Sets the bits of a range, as far as the words go.
inline void set_bits(std::span<uint32_t> words, index_range bits) {
    const index_range inside{bits.begin, smaller(bits.end, static_cast<int64_t>(words.size()) * k_word_bits)};
    for (int64_t word = inside.begin / k_word_bits; word * k_word_bits < inside.end; ++word) {
        words[static_cast<size_t>(word)] |= range_bits(inside, word);
    }
}

}  // namespace tmx
