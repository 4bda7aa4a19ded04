// The steps of vertical_slash for one head, on the CPU.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "select/vertical_slash.h"

namespace tmx {

// The `n` numbers with the largest sums, the first `n_forced` before all, ties to the lower number; rising. All where
// there are no more, or where one is not finite.
std::vector<int32_t> largest_sums(std::span<const float> sums, int64_t n, int64_t n_forced);

// Gives out rising numbers from either end, for merge_lines().
class rising_lines {
  public:
    rising_lines(std::span<const int32_t> lines, bool falling) : lines_(lines), falling_(falling) {}
    int64_t operator()() {
        if (lines_.empty()) {
            return k_no_line;
        }
        const int64_t line = falling_ ? lines_.back() : lines_.front();
        lines_ = falling_ ? lines_.first(lines_.size() - 1) : lines_.subspan(1);
        return line;
    }

  private:
    std::span<const int32_t> lines_;
    bool falling_;
};

// Bits of all tiles of `head`, of a bitmap of fine blocks. Verticals and slashes rise.
void add_lines(std::span<const int32_t> verticals, std::span<const int32_t> slashes, int64_t head, block_bitmap & bits);
void add_published_lines(std::span<const int32_t> verticals, std::span<const int32_t> slashes, int64_t head,
                         block_bitmap & bits);

}  // namespace tmx
