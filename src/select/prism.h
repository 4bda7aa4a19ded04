// Method "prism": means of queries and keys, compared over the fast and over the slow rotary dimensions apart. Prism
// (arXiv 2602.08426): a mean over 128 rotated keys cancels the fast dimensions, so products of whole means see the slow
// ones only.
//
// For each query head: Qbar[I] the mean query of tile I, Kbar[J] the mean key of block J, as far as the segment's rows
// and keys go (reference = 1: their sums through 128, as if what is missing were zeros). Of each band z of dz
// dimensions, over the blocks J that the tile sees:
//     logit[J] = scale * sqrt(d / dz) / temperature_z * Qbar_z[I] . Kbar_z[J]       (reference: 1 / sqrt(dz) as scale)
//     temperature_z = sqrt(dz / d) * rms(Qbar_z) / rms(Qbar) * rms(Kbar_z) / rms(Kbar)
// with root mean squares over all elements of all of the segment's tiles, or of all blocks that its last row sees. The
// masses are the softmax of these logits. A block stays if in one of the bands the mass of the blocks before it, by
// falling mass and rising index, is below p. With `keep`, blocks rank by the larger one of their two masses.
#pragma once

#include "select/block_budget.h"
#include "trianglemix/rotary_layout.h"
#include "trianglemix/selection_rule.h"

namespace tmx {

struct prism_values {
    double p = 0;
    double keep = 0;
    bool reference = false;
};

constexpr prism_values prism_of(const selection_rule & rule) {
    return {rule.values[0], rule.values[1], rule.values[2] != 0};
}

constexpr int32_t k_prism_bands = 2;  // 0: fast, 1: slow

// Dimensions of a band, of d: half of them, and three quarters; the two overlap. REQUIRES d a multiple of 8.
TMX_HOST_DEVICE constexpr int64_t band_dims(int32_t band, int64_t d) {
    return band == 0 ? d / 2 : d / 4 * 3;
}

// The place of a dimension when all are ordered from the fastest to the slowest, both of a pair beside each other.
TMX_HOST_DEVICE constexpr int64_t speed_rank(const rotary_layout & rotary, int64_t dim) {
    if (rotary.pairs == rotary_pairs::neighbours || dim >= rotary.n_dims) {
        return dim;
    }
    const int64_t half = rotary.n_dims / 2;
    return dim < half ? 2 * dim : 2 * (dim - half) + 1;
}

TMX_HOST_DEVICE constexpr bool in_prism_band(const rotary_layout & rotary, int32_t band, int64_t d, int64_t dim) {
    const int64_t rank = speed_rank(rotary, dim);
    return band == 0 ? rank < band_dims(0, d) : rank >= d - band_dims(1, d);
}

// Sums of squares over all tiles or blocks of a head: of one band, and of all dimensions.
struct prism_squares {
    double band = 0;
    double all = 0;
};

// What the product of a band's means is multiplied by. Where a band or a head is all zeros, so are the products: then
// the factor is 0. `root` is the square root of the host or of the device.
template <class square_root>
TMX_HOST_DEVICE constexpr double prism_factor(const prism_values & values, double scale, int64_t d, int32_t band,
                                              const prism_squares & q, const prism_squares & k, square_root root) {
    const double share = static_cast<double>(band_dims(band, d)) / static_cast<double>(d);
    // rms(x_z) / rms(x) is sqrt((band / dz) / (all / d)); the two shares that this leaves make one.
    const double temperature = root(q.band / q.all * (k.band / k.all) / share);
    const double base = values.reference ? 1 / root(static_cast<double>(d)) : scale;
    return temperature > 0 ? base / (root(share) * temperature) : 0;
}

}  // namespace tmx
