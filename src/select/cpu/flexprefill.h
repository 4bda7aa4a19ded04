// The steps of flexprefill for one head, on the CPU.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "select/flexprefill.h"

namespace tmx {

// sqrt of the Jensen-Shannon divergence of two distributions, natural logarithm.
double pattern_distance(std::span<const double> a, std::span<const float> b);

// Sums over blocks of 128.
std::vector<float> block_masses(std::span<const float> vertical);

// One more than the numbers, by falling size, that have a sum of at most gamma.
int64_t published_cover(std::span<const float> weights, double gamma);

// Key blocks, or groups of slashes, that a head keeps.
struct kept_lines {
    std::vector<int32_t> blocks;
    std::vector<int32_t> groups;
};
// `vertical`, `slash`: of all keys.
kept_lines keep_lines(const flexprefill_values & values, std::span<const float> vertical, std::span<const float> slash,
                      bool query_aware);

// Their bits, of all tiles of `head`.
void add_lines(const flexprefill_values & values, const kept_lines & kept, int64_t head, block_bitmap & bits);

// Bits of what R keeps; `scores`: R [tile][block], 0 for blocks that the tile does not see.
void add_scored(const flexprefill_values & values, std::span<const float> scores, int64_t head, block_bitmap & bits);

}  // namespace tmx
