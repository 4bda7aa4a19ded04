// trianglemix/rotary_layout.h -- how RoPE pairs the dimensions of queries and keys: for methods that look at single
// dimensions.
#pragma once

#include <cstdint>

namespace tmx {

// Pairs turn slower from the first to the last.
enum class rotary_pairs : uint8_t {
    unknown,     // not found, or dimensions were mixed afterwards: a method that must know cannot be used
    halves,      // pair i is dimensions i and n_dims / 2 + i ("NEOX")
    neighbours,  // pair i is dimensions 2 i and 2 i + 1 ("NORM")
};

struct rotary_layout {
    rotary_pairs pairs = rotary_pairs::unknown;
    int64_t n_dims = 0;  // of the first n_dims dimensions of a head; even. Those behind them do not turn

    bool known() const { return pairs != rotary_pairs::unknown; }
    bool operator==(const rotary_layout &) const = default;
};

}  // namespace tmx
