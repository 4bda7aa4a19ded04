// trianglemix/line_sums.h -- which lines of a causal matrix of weights the attention of its last rows lies on: the sums
// of these rows' weights by key (verticals) and by distance (slashes). What dynamic methods choose lines from.
//
// A line of row q and key j, by ranks: vertical j, and slash q - j.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "trianglemix/attention.h"
#include "trianglemix/status.h"

namespace tmx {

struct line_sums {
    int64_t n_keys = 0;           // of the segment: as many verticals as slashes
    std::vector<float> vertical;  // [n_head][n_keys]; a head's sum is 1
    std::vector<float> slash;     // [n_head][n_keys]; a head's sum is 1

    std::span<const float> vertical_of(int64_t head) const { return of(vertical, head); }
    std::span<const float> slash_of(int64_t head) const { return of(slash, head); }

  private:
    std::span<const float> of(const std::vector<float> & all, int64_t head) const {
        return {all.data() + head * n_keys, static_cast<size_t>(n_keys)};
    }
};

// The weights of the segment's last `n_rows` rows, or of all if it has fewer, on all keys that they see, divided by the
// number of rows. Bands, masks and learned sinks are left out.
//
// REQUIRES a ranked segment of a valid call (check_sizes()), not empty; q and k; n_rows and n_threads at least 1.
// NUMERICS exact (docs/numerics.md). Same bits on every run and for every thread count of one kernel.
// COST     Twice n_rows * keys products of a query and a key for each head, K decoded twice; memory for two and a half
//          numbers a key and head.
// ERRORS   invalid_argument, unsupported: `kernel` is not one of cpu_kernels() (null: the best). out_of_memory.
status sum_lines(const attention_args & args, const attention_segment & segment, int64_t n_rows, int32_t n_threads,
                 line_sums & sums, const char * kernel = nullptr) noexcept;

}  // namespace tmx
