#include <algorithm>
#include <cmath>
#include <functional>

#include "select/cpu/bit_ranges.h"
#include "select/cpu/by_mass.h"
#include "select/cpu/flexprefill.h"

namespace tmx {
namespace {

template <typename F>
std::vector<float> pool(std::span<const float> weights, int64_t n_groups, const F & group_of) {
    std::vector<float> pooled(static_cast<size_t>(n_groups));
    for (size_t i = 0; i < weights.size(); ++i) {
        pooled[static_cast<size_t>(group_of(static_cast<int64_t>(i)))] += weights[i];
    }
    return pooled;
}

// The numbers of the groups that one budget keeps. `weights`: what was pooled.
std::vector<int32_t> within_budget(const flexprefill_values & values, std::span<const float> pooled,
                                   std::span<const float> weights, bool query_aware) {
    std::vector<int32_t> order = by_falling_mass(pooled, true);
    if (!std::all_of(pooled.begin(), pooled.end(), [](float mass) { return std::isfinite(mass); })) {
        return order;
    }
    int64_t wanted = 0;
    if (!query_aware) {
        wanted = values.reference ? published_cover(weights, values.gamma) / k_bitmap_keys + 1
                                  : number_that_reaches(pooled, order, values.gamma);
    }
    order.resize(static_cast<size_t>(clamped_blocks(values, wanted, static_cast<int64_t>(order.size()))));
    return order;
}

}  // namespace

double pattern_distance(std::span<const double> a, std::span<const float> b) {
    // 0 log 0 is 0.
    const auto part = [](double p, double middle) { return p > 0 ? p * std::log(p / middle) : 0; };
    double divergence = 0;
    for (size_t i = 0; i < a.size(); ++i) {
        const auto other = static_cast<double>(b[i]);
        const double middle = (a[i] + other) / 2;
        divergence += (part(a[i], middle) + part(other, middle)) / 2;
    }
    return std::sqrt(std::max(divergence, 0.0));
}

std::vector<float> block_masses(std::span<const float> vertical) {
    return pool(vertical, blocks_of({0, static_cast<int64_t>(vertical.size())}).end,
                [](int64_t key) { return key / k_bitmap_keys; });
}

int64_t published_cover(std::span<const float> weights, double gamma) {
    std::vector<float> sorted(weights.begin(), weights.end());
    std::replace_if(
        sorted.begin(), sorted.end(), [](float w) { return std::isnan(w); }, 0.0f);
    std::sort(sorted.begin(), sorted.end(), std::greater<>());
    double sum = 0;
    int64_t n = 0;
    while (n < static_cast<int64_t>(sorted.size()) &&
           (sum += static_cast<double>(sorted[static_cast<size_t>(n)])) <= gamma) {
        ++n;
    }
    return n + 1;
}

kept_lines keep_lines(const flexprefill_values & values, std::span<const float> vertical, std::span<const float> slash,
                      bool query_aware) {
    const auto n_keys = static_cast<int64_t>(vertical.size());
    const int64_t n_blocks = blocks_of({0, n_keys}).end;
    const std::vector<float> blocks = block_masses(vertical);
    const std::vector<float> groups = pool(slash, n_blocks, [&](int64_t s) { return slash_group(values, n_keys, s); });
    return {within_budget(values, blocks, vertical, query_aware), within_budget(values, groups, slash, query_aware)};
}

void add_lines(const flexprefill_values & values, const kept_lines & kept, int64_t head, block_bitmap & bits) {
    const bitmap_shape & shape = bits.shape;
    std::vector<uint32_t> verticals(static_cast<size_t>(shape.n_words()));
    std::vector<uint32_t> distances(verticals.size());
    for (const int32_t block : kept.blocks) {
        set_bits(verticals, {block, block + 1});
    }
    for (const int32_t group : kept.groups) {
        set_bits(distances, group_distances(values, group, tile_phase(shape)));
    }
    for (int64_t tile = 0; tile < shape.n_tiles(); ++tile) {
        for (int64_t word = 0; word < shape.n_words(); ++word) {
            bits.of(head, tile)[word] |= line_bits(shape, verticals.data(), distances.data(), tile, word);
        }
    }
}

void add_scored(const flexprefill_values & values, std::span<const float> scores, int64_t head, block_bitmap & bits) {
    const bitmap_shape & shape = bits.shape;
    const int64_t n_blocks = blocks_of({0, shape.ranks.end}).end;
    const double wanted = values.gamma * static_cast<double>(shape.n_tiles());
    double sum = 0;
    for (const int32_t number : by_falling_mass(scores, false)) {
        const int64_t tile = number / n_blocks;
        const int64_t block = number % n_blocks;
        const auto score = static_cast<double>(scores[static_cast<size_t>(number)]);
        const bool reached = values.reference ? !(sum + score <= wanted) : values.gamma < 1 && sum >= wanted;
        if (reached) {
            break;
        }
        sum += score;
        if (block < blocks_of(shape.rows_of(tile)).end) {
            bits.of(head, tile)[block / k_word_bits] |= uint32_t{1} << (block % k_word_bits);
        }
    }
}

}  // namespace tmx
