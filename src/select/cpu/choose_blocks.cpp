#include "select/cpu/choose_blocks.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>

#include "select/block_budget.h"
#include "select/means.h"

namespace tmx::select_cpu {
namespace {

bool is_set(const uint32_t * words, int64_t block) {
    return (words[block / k_word_bits] >> (block % k_word_bits) & 1) != 0;
}

void set(uint32_t * words, int64_t block) {
    words[block / k_word_bits] |= uint32_t{1} << (block % k_word_bits);
}

// Whether scores decide; else the tile keeps all.
bool all_finite(const scored_tile & tile) {
    return std::all_of(tile.scores.begin(), tile.scores.end(), [](float score) { return std::isfinite(score); });
}

std::span<const int32_t> by_falling_score(const scored_tile & tile) {
    std::iota(tile.order.begin(), tile.order.end(), 0);
    std::sort(tile.order.begin(), tile.order.end(), [&](int32_t a, int32_t b) {
        const float of_a = tile.scores[static_cast<size_t>(a)];
        const float of_b = tile.scores[static_cast<size_t>(b)];
        return of_a != of_b ? of_a > of_b : a < b;
    });
    return tile.order;
}

double score(const scored_tile & tile, int64_t block) {
    return static_cast<double>(tile.scores[static_cast<size_t>(block)]);
}

}  // namespace

void keep_all(const scored_tile & tile) {
    for (int64_t word = 0; word * k_word_bits < tile.n_visible(); ++word) {
        tile.words[word] |= visible_bits(tile.rows, word);
    }
}

void keep_share(const scored_tile & tile, double keep) {
    if (!all_finite(tile)) {
        keep_all(tile);
        return;
    }
    int64_t n_more = kept_blocks(keep, tile.n_visible());
    for (int64_t word = 0; word * k_word_bits < tile.n_visible(); ++word) {
        n_more -= std::popcount(tile.words[word]);
    }
    for (const int32_t block : by_falling_score(tile)) {
        if (n_more <= 0) {
            return;
        }
        if (!is_set(tile.words, block)) {
            set(tile.words, block);
            --n_more;
        }
    }
}

void keep_above(const scored_tile & tile, double alpha) {
    if (tile.scores.empty()) {
        return;
    }
    if (!all_finite(tile)) {
        keep_all(tile);
        return;
    }
    const float largest = *std::max_element(tile.scores.begin(), tile.scores.end());
    for (size_t block = 0; block < tile.scores.size(); ++block) {
        if (passes_alpha(tile.scores[block], alpha, largest)) {
            set(tile.words, static_cast<int64_t>(block));
        }
    }
}

void keep_until_mass(const scored_tile & tile, double tau, bool lost_sink) {
    if (wants_all(tau) || !all_finite(tile)) {
        keep_all(tile);
        return;
    }
    const auto n_scored = static_cast<int64_t>(tile.scores.size());
    double total = 0;
    double mass = 0;
    for (int64_t block = 0; block < n_scored; ++block) {
        total += score(tile, block);
        const bool counts = is_set(tile.words, block) && (block > 0 || !lost_sink);
        mass += counts ? score(tile, block) : 0;
    }
    const double wanted = tau * total;
    double late = 0;  // lost_sink: mass of the block taken last, which is counted with the next one
    bool first = lost_sink;
    for (const int32_t block : by_falling_score(tile)) {
        if (is_set(tile.words, block) && (block > 0 || !lost_sink)) {
            continue;
        }
        if (!first && mass >= wanted) {
            return;
        }
        set(tile.words, block);
        mass += lost_sink ? late : score(tile, block);
        late = score(tile, block);
        first = false;
    }
}

void keep_before_mass(const scored_tile & tile, double p) {
    if (wants_all(p) || !all_finite(tile)) {
        keep_all(tile);
        return;
    }
    double before = 0;
    for (const int32_t block : by_falling_score(tile)) {
        if (before >= p) {
            return;
        }
        set(tile.words, block);
        before += score(tile, block);
    }
}

}  // namespace tmx::select_cpu
