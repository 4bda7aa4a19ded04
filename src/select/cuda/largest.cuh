// The n largest of many numbers, or as many as have a share of their sum, by a thread block: three passes of counting
// by digits find the last one, then every number is compared with it. Numbers are not negative, so their bits rise as
// they do. Sums are of whole numbers, so that their order does not matter.
#pragma once

#include <cstdint>

#include "trianglemix/geometry.h"

namespace tmx::cuda {

constexpr int k_largest_threads = 1024;
constexpr int k_digits = 2048;

// What is added up: ones (uint32_t will do), or masses in units of 2^-40.
using amount = unsigned long long;
constexpr float k_mass_units = 1099511627776.0f;
// What is no number has no mass.
__device__ inline amount mass_of(float value) {
    return value < INFINITY ? __float2ull_rn(value * k_mass_units) : 0;
}

// Calls see(i, bits_of(i)) for the thread's share of the numbers. Several are on their way from memory at a time; where
// they lie is a sum, as signed numbers do not wrap.
template <typename F, typename G>
__device__ void for_each_number(uint32_t n_numbers, const F & bits_of, const G & see) {
    constexpr int32_t k_in_flight = 8;
    constexpr int32_t k_behind = (k_in_flight - 1) * k_largest_threads;
    const auto n = static_cast<int32_t>(n_numbers);
    auto i = static_cast<int32_t>(threadIdx.x);
    for (; i < n - k_behind; i += k_in_flight * k_largest_threads) {
        uint32_t bits[k_in_flight];
#pragma unroll
        for (int32_t j = 0; j < k_in_flight; ++j) {
            bits[j] = bits_of(i + j * k_largest_threads);
        }
#pragma unroll
        for (int32_t j = 0; j < k_in_flight; ++j) {
            see(i + j * k_largest_threads, bits[j]);
        }
    }
    for (; i < n; i += k_largest_threads) {
        see(i, bits_of(i));
    }
}

// Whether one of the numbers is not finite; in all threads.
__device__ inline bool any_not_finite(const float * numbers, uint32_t n) {
    bool found = false;
    for_each_number(
        n, [&](int32_t i) { return __float_as_uint(numbers[i]); },
        [&](int32_t, uint32_t bits) { found = found || !(__uint_as_float(bits) < INFINITY); });
    return __syncthreads_or(found ? 1 : 0) != 0;
}

struct largest_memory {
    union {
        amount sums[k_digits];
        uint32_t counts[k_digits];
    };
    amount warp_sums[k_largest_threads / 32];
    amount above;
    uint32_t digit;
};

// Sum of `value` over this thread and those before it. Ends with a barrier, so that it may be called again.
__device__ inline amount sum_up_to_thread(amount value, largest_memory & shared) {
    const int lane = threadIdx.x % 32;
    const int warp = threadIdx.x / 32;
    for (int step = 1; step < 32; step *= 2) {
        const amount before = __shfl_up_sync(0xffffffff, value, step);
        value += lane >= step ? before : 0;
    }
    if (lane == 31) {
        shared.warp_sums[warp] = value;
    }
    __syncthreads();
    for (int other = 0; other < warp; ++other) {
        value += shared.warp_sums[other];
    }
    __syncthreads();
    return value;
}

// What is kept: all numbers above `level`, and the first `n_equal` of those at it.
struct largest_cut {
    uint32_t level;
    amount n_equal;
    amount n_at_level;
};

// The level at which the amounts of the numbers from the largest down reach `wanted`, and what is then left of it.
struct reached_level {
    uint32_t level;
    amount left;      // wanted of the numbers at this level, more than 0
    amount at_level;  // what these have
};

// `sums`: shared.sums or shared.counts. REQUIRES 0 < wanted <= the sum of amount_of(i) over i < n_numbers.
template <typename T, typename F, typename G>
__device__ reached_level find_level(uint32_t n_numbers, amount wanted, const F & bits_of, const G & amount_of,
                                    T (&sums)[k_digits], largest_memory & shared) {
    constexpr int k_shifts[] = {21, 10, 0};
    constexpr uint32_t k_masks[] = {2047, 2047, 1023};
    reached_level found{0, wanted, 0};
    uint32_t known = 0;  // bits of the level
#pragma unroll
    for (int pass = 0; pass < 3; ++pass) {
        for (int i = threadIdx.x; i < k_digits; i += k_largest_threads) {
            sums[i] = 0;
        }
        __syncthreads();
        for_each_number(n_numbers, bits_of, [&](int32_t i, uint32_t bits) {
            if ((bits & known) == found.level) {
                atomicAdd(&sums[bits >> k_shifts[pass] & k_masks[pass]], amount_of(i));
            }
        });
        __syncthreads();
        // A thread has two digits, the first thread the largest ones.
        const uint32_t digit = k_digits - 2 - 2 * threadIdx.x;
        const amount upper = sums[digit + 1];
        const amount both = upper + sums[digit];
        const amount up_to = sum_up_to_thread(both, shared);
        const amount before = up_to - both;
        if (before < found.left && found.left <= up_to) {
            const bool in_upper = found.left <= before + upper;
            shared.digit = digit + (in_upper ? 1 : 0);
            shared.above = before + (in_upper ? 0 : upper);
        }
        __syncthreads();
        found.level |= shared.digit << k_shifts[pass];
        known |= k_masks[pass] << k_shifts[pass];
        found.left -= shared.above;
        found.at_level = sums[shared.digit];
        __syncthreads();
    }
    return found;
}

// REQUIRES 0 < n <= n_numbers.
template <typename F>
__device__ largest_cut find_largest(uint32_t n_numbers, amount n, const F & bits_of, largest_memory & shared) {
    const reached_level found = find_level(
        n_numbers, n, bits_of, [](uint32_t) { return uint32_t{1}; }, shared.counts, shared);
    return {found.level, found.left, found.at_level};
}

// Sum over the block's threads, in all of them.
__device__ inline amount sum_of_block(amount value, largest_memory & shared) {
    const amount up_to = sum_up_to_thread(value, shared);
    if (threadIdx.x == k_largest_threads - 1) {
        shared.above = up_to;
    }
    __syncthreads();
    const amount sum = shared.above;
    __syncthreads();
    return sum;
}

// How many numbers, from the largest down, have at least `wanted` of the masses together; all and one more if these
// have less.
template <typename F, typename G>
__device__ amount number_that_has(uint32_t n_numbers, amount wanted, const F & bits_of, const G & amount_of,
                                  largest_memory & shared) {
    amount own = 0;
    for (uint32_t i = threadIdx.x; i < n_numbers; i += k_largest_threads) {
        own += amount_of(i);
    }
    if (sum_of_block(own, shared) < wanted) {
        return amount{n_numbers} + 1;
    }
    if (wanted == 0) {
        return 0;
    }
    const reached_level found = find_level(n_numbers, wanted, bits_of, amount_of, shared.sums, shared);
    amount n_above = 0;
    amount n_at = 0;
    for (uint32_t i = threadIdx.x; i < n_numbers; i += k_largest_threads) {
        const uint32_t bits = bits_of(i);
        n_above += bits > found.level ? 1 : 0;
        n_at += bits == found.level ? 1 : 0;
    }
    n_above = sum_of_block(n_above, shared);
    n_at = sum_of_block(n_at, shared);
    const amount each = found.at_level / n_at;  // numbers of equal bits have equal masses
    return n_above + (found.left + each - 1) / each;
}

// Writes the kept numbers as a bitmap of n_words words. `equal`: as many words of memory of the block's own.
template <typename F>
__device__ void write_largest(uint32_t n_numbers, const largest_cut & cut, const F & bits_of, uint32_t n_words,
                              uint32_t * kept, uint32_t * equal, largest_memory & shared) {
    const bool all_equal = cut.n_equal == cut.n_at_level;
    const auto n = static_cast<int32_t>(n_numbers);
    const auto lane = static_cast<int32_t>(threadIdx.x % 32);
    // A warp makes 32 words, of which each lane writes one.
    for (int32_t first = static_cast<int32_t>(threadIdx.x) - lane; first < static_cast<int32_t>(n_words);
         first += k_largest_threads) {
        uint32_t own_above = 0;
        uint32_t own_at = 0;
#pragma unroll 8
        for (int32_t word = 0; word < 32; ++word) {
            const int32_t i = (first + word) * 32 + lane;
            const uint32_t bits = i < n ? bits_of(i) : 0;
            const uint32_t above = __ballot_sync(0xffffffff, i < n && bits > cut.level);
            const uint32_t at = __ballot_sync(0xffffffff, i < n && bits == cut.level);
            own_above = word == lane ? above : own_above;
            own_at = word == lane ? at : own_at;
        }
        if (first + lane < static_cast<int32_t>(n_words)) {
            kept[first + lane] = own_above | (all_equal ? own_at : 0);
            equal[first + lane] = own_at;
        }
    }
    if (all_equal) {
        return;
    }
    __syncthreads();
    amount taken = 0;
    for (uint32_t first = 0; first < n_words; first += k_largest_threads) {
        const uint32_t word = first + threadIdx.x;
        uint32_t at = word < n_words ? equal[word] : 0;
        const auto own = static_cast<amount>(__popc(at));
        const amount before = taken + sum_up_to_thread(own, shared) - own;
        amount wanted = before < cut.n_equal ? cut.n_equal - before : 0;
        for (; at != 0 && wanted > 0; at &= at - 1, --wanted) {
            kept[word] |= at & (0u - at);
        }
        taken += sum_of_block(own, shared);
    }
}

}  // namespace tmx::cuda
