// probe/unit.h -- what is made triangle by itself: a layer, or a single head of one.
#pragma once

#include <cstdint>

namespace tmx {

struct unit {
    int32_t layer = 0;
    int32_t head = -1;  // -1: all of the layer's heads

    bool operator==(const unit &) const = default;
    bool operator<(const unit & other) const { return layer != other.layer ? layer < other.layer : head < other.head; }
};

}  // namespace tmx
