// probe/cuda/row_plan.h -- what the forward kernel is told about rows: which keys each keeps, and which tiles of keys
// each tile of rows visits. Host code that asks no device.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "trianglemix/geometry.h"

namespace tmx::cuda_probe {

constexpr int64_t k_tile = 64;  // rows, and keys, of a tile

constexpr int64_t tiles_of(int64_t n) {
    return (n + k_tile - 1) / k_tile;
}

struct tile_range {
    int32_t begin = 0;
    int32_t end = 0;
};

struct row_plan {
    std::vector<kept_row> kept;  // [n]
    // Row tile t visits the key tiles of ranges[first_range[t]] to ranges[first_range[t + 1] - 1]: ascending, apart.
    std::vector<int32_t> first_range;  // [n_tiles + 1]
    std::vector<tile_range> ranges;
};

// REQUIRES the segments cover rows [0, n) in order; n < 2^31.
row_plan plan_rows(std::span<const row_segment> segments, int64_t n);

}  // namespace tmx::cuda_probe
