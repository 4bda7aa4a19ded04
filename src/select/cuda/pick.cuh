// From the scores of a tile's blocks to its bits, by one warp, which reads them as often as it needs. Scores are 0 or
// more; lane l looks at those of blocks l, l + 32 and so on only, so what it writes there it may read again.
#pragma once

#include <cuda_runtime.h>

#include "select/cuda/waves.h"
#include "trianglemix/block_bitmap.h"

namespace tmx::cuda {

constexpr int k_warp = 32;
constexpr unsigned k_all_lanes = 0xffffffff;
constexpr int k_pick_threads = 128;

// All lanes get the same bits: the two sides of every addition only change places.
__device__ inline float warp_sum(float value) {
#pragma unroll
    for (int step = k_warp / 2; step > 0; step /= 2) {
        value += __shfl_xor_sync(k_all_lanes, value, step);
    }
    return value;
}
__device__ inline int32_t warp_sum(int32_t value) {
    return __reduce_add_sync(k_all_lanes, value);
}
__device__ inline float warp_max(float value) {
#pragma unroll
    for (int step = k_warp / 2; step > 0; step /= 2) {
        value = fmaxf(value, __shfl_xor_sync(k_all_lanes, value, step));
    }
    return value;
}

// Which scores stay: those above `level`, and the first n_level that are equal to it.
struct cut {
    float level;
    int32_t n_level;
};
constexpr int32_t k_all_of_level = 0x7fffffff;
constexpr float k_no_score = -1.0f;  // of blocks that are kept anyhow, where they compete with no others

__device__ inline cut cut_of_all() {
    return {0.0f, k_all_of_level};
}
__device__ inline cut cut_of_none() {
    return {INFINITY, 0};
}

// What the blocks with a score of at least `level` are together.
struct part {
    float mass;
    int32_t n;
};

// The same of a lane's blocks, on the way to it. Counted as a number of the kind that masses are, which takes one
// instruction less a block.
struct part_of_lane {
    float mass = 0;
    float n = 0;

    template <bool k_by_mass>
    __device__ void add(float score, float level) {
        const float in = score >= level ? 1.0f : 0.0f;
        if constexpr (k_by_mass) {
            mass = fmaf(in, score, mass);
        }
        n += in;
    }
    template <bool k_by_mass>
    __device__ part of_warp() const {
        return {k_by_mass ? warp_sum(mass) : 0.0f, warp_sum(static_cast<int32_t>(n))};
    }
};

// Scores where they lie.
struct stored_scores {
    float * scores;
    int32_t n;

    // Calls see(word, score) by all lanes together for one word after the other, each lane with its block's score, or,
    // where there is no such block, with one that nobody keeps. What see() makes of it stays, in change_each_word().
    template <typename F>
    __device__ void for_each_word(const F & see) const {
#pragma unroll 4
        for (int32_t word = 0; word * k_warp < n; ++word) {
            see(word, at(word));
        }
    }
    template <typename F>
    __device__ void change_each_word(const F & see) {
#pragma unroll 4
        for (int32_t word = 0; word * k_warp < n; ++word) {
            float score = at(word);
            see(word, score);
            if (const int32_t block = word * k_warp + static_cast<int32_t>(threadIdx.x) % k_warp; block < n) {
                scores[block] = score;
            }
        }
    }
    // The score that for_each_word() shows.
    __device__ float at(int32_t word) const {
        const int32_t block = word * k_warp + static_cast<int32_t>(threadIdx.x) % k_warp;
        return block < n ? scores[block] : k_no_score;
    }

    template <bool k_by_mass>
    __device__ part from(float level) const {
        part_of_lane own;
#pragma unroll 4
        for (int32_t block = static_cast<int32_t>(threadIdx.x) % k_warp; block < n; block += k_warp) {
            own.add<k_by_mass>(scores[block], level);
        }
        return own.of_warp<k_by_mass>();
    }
    __device__ float largest() const {
        float own = k_no_score;
        for (int32_t block = static_cast<int32_t>(threadIdx.x) % k_warp; block < n; block += k_warp) {
            own = fmaxf(own, scores[block]);
        }
        return warp_max(own);
    }
};

// The same sums of scores that the lanes hold in registers, as whoever reads them twenty times should.
class held_scores {
  public:
    static constexpr int k_slots = 32;  // of a lane
    static constexpr int32_t k_most = k_slots * k_warp;

    // REQUIRES n <= k_most.
    __device__ held_scores(const float * scores, int32_t n) : n_(n) {
#pragma unroll
        for (int slot = 0; slot < k_slots; ++slot) {
            const int32_t block = slot * k_warp + static_cast<int32_t>(threadIdx.x) % k_warp;
            values_[slot] = block < n ? scores[block] : k_no_score;
        }
    }

    template <typename F>
    __device__ void for_each_word(const F & see) const {
#pragma unroll
        for (int32_t word = 0; word < k_slots; ++word) {
            if (word * k_warp >= n_) {
                break;
            }
            see(word, values_[word]);
        }
    }
    template <typename F>
    __device__ void change_each_word(const F & see) {
#pragma unroll
        for (int32_t word = 0; word < k_slots; ++word) {
            if (word * k_warp >= n_) {
                break;
            }
            see(word, values_[word]);
        }
    }
    // Of a word that for_each_word() has just shown: then the register is known.
    __device__ float at(int32_t word) const {
        return values_[word];
    }

    template <bool k_by_mass>
    __device__ part from(float level) const {
        constexpr int k_at_a_time = 4;
        part_of_lane own;
#pragma unroll
        for (int first = 0; first < k_slots; first += k_at_a_time) {
            if (first * k_warp >= n_) {
                break;
            }
#pragma unroll
            for (int slot = first; slot < first + k_at_a_time; ++slot) {
                own.add<k_by_mass>(values_[slot], level);
            }
        }
        return own.of_warp<k_by_mass>();
    }
    __device__ float largest() const {
        float own = k_no_score;
#pragma unroll
        for (int slot = 0; slot < k_slots; ++slot) {
            own = fmaxf(own, values_[slot]);
        }
        return warp_max(own);
    }

  private:
    const int32_t n_;
    float values_[k_slots];
};

// The fewest blocks, by falling score and rising index, that reach the target: a mass, or a number. Bisection over the
// bits of the level: sums are always taken in the same order, so they fall as it rises.
template <bool k_by_mass, class source, typename amount>
__device__ inline cut cut_by_bisection(const source & scores, amount target) {
    const auto reaches = [&](const part & p) {
        if constexpr (k_by_mass) {
            return p.mass >= target;
        } else {
            return p.n >= target;
        }
    };
    part low = scores.template from<k_by_mass>(0.0f);
    if (!reaches(low)) {
        return cut_of_all();
    }
    part high{0, 0};
    uint32_t low_bits = 0;                                       // reaches the target
    uint32_t high_bits = __float_as_uint(scores.largest()) + 1;  // does not
    const auto narrow = [&](uint32_t bits) {
        const part middle = scores.template from<k_by_mass>(__uint_as_float(bits));
        if (reaches(middle)) {
            low = middle;
            low_bits = bits;
        } else {
            high = middle;
            high_bits = bits;
        }
    };
    if constexpr (k_by_mass) {
        // Blocks below this one are together less than what may be left out, but for rounding.
        const uint32_t bits = __float_as_uint((low.mass - target) / static_cast<float>(low.n));
        if (bits > low_bits && bits < high_bits) {
            narrow(bits);
        }
    }
    while (high_bits - low_bits > 1 && low.n - high.n > 1) {
        narrow(low_bits + (high_bits - low_bits) / 2);
    }
    const float level = __uint_as_float(low_bits);
    if (low.n - high.n <= 1) {
        return {level, k_all_of_level};
    }
    if constexpr (k_by_mass) {
        return {level, static_cast<int32_t>(ceilf((target - high.mass) / level))};
    } else {
        return {level, target - high.n};
    }
}

template <bool k_by_mass, class source, typename amount>
__device__ inline cut find_cut(const source & scores, amount target) {
    return target > 0 ? cut_by_bisection<k_by_mass>(scores, target) : cut_of_none();
}

// How many blocks a cut keeps.
template <class source>
__device__ inline int32_t kept_by(const cut & c, const source & scores) {
    const int32_t from = scores.template from<false>(c.level).n;
    if (c.n_level == k_all_of_level) {
        return from;
    }
    const int32_t above = scores.template from<false>(__uint_as_float(__float_as_uint(c.level) + 1)).n;
    return above + min(from - above, c.n_level);
}

// Calls add(word, bits) with the blocks that a cut keeps. Lane l adds the words l, l + 32 and so on.
template <class source, typename F>
__device__ inline void each_kept_word(const source & scores, const cut & c, int32_t n, const F & add) {
    const int lane = static_cast<int>(threadIdx.x) % k_warp;
    const int32_t n_words = (n + k_warp - 1) / k_warp;
    int32_t n_before = 0;  // blocks at the level in the words before
    uint32_t own = 0;
    scores.for_each_word([&](int32_t word, float score) {
        const bool level = score == c.level;
        const uint32_t level_lanes = __ballot_sync(k_all_lanes, level);
        const int32_t before = n_before + __popc(level_lanes & ((1u << lane) - 1));
        n_before += __popc(level_lanes);
        const uint32_t kept = __ballot_sync(k_all_lanes, score > c.level || (level && before < c.n_level));
        own = word % k_warp == lane ? kept : own;
        if (word % k_warp == k_warp - 1) {
            add(word - k_warp + 1 + lane, own);
        }
    });
    if (lane < n_words % k_warp) {
        add(n_words / k_warp * k_warp + lane, own);
    }
}

// Adds the blocks that a cut keeps to a tile's words.
template <class source>
__device__ inline void add_kept(const source & scores, const cut & c, int32_t n, uint32_t * bits) {
    each_kept_word(scores, c, n, [&](int32_t word, uint32_t kept) { bits[word] |= kept; });
}

// Of a wave, the tile that a warp of a pick kernel works at: heads innermost, late tiles first.
struct picked_tile {
    int64_t number;  // in the wave, [head][tile]
    int64_t head;
    int64_t tile;
};
__device__ inline bool tile_of_warp(const wave & w, picked_tile & result) {
    const int64_t warp = int64_t{blockIdx.x} * (k_pick_threads / k_warp) + threadIdx.x / k_warp;
    if (warp >= w.n_heads * w.n_tiles) {
        return false;
    }
    const int64_t tile = w.n_tiles - 1 - warp / w.n_heads;
    const int64_t head = warp % w.n_heads;
    result = {head * w.n_tiles + tile, w.head_begin + head, w.tile_begin + tile};
    return true;
}
inline unsigned pick_blocks(const wave & w) {
    constexpr int64_t k_warps = k_pick_threads / k_warp;
    return static_cast<unsigned>((w.n_heads * w.n_tiles + k_warps - 1) / k_warps);
}

}  // namespace tmx::cuda
