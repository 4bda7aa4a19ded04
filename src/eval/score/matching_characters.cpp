#include "eval/score/matching_characters.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <vector>

namespace tmx {
namespace {

struct block {
    size_t a = 0, b = 0, size = 0;
};

struct ranges {
    size_t a_begin = 0, a_end = 0, b_begin = 0, b_end = 0;
};

class block_matcher {
  public:
    block_matcher(std::u32string_view a, std::u32string_view b) : a_(a), b_(b), ending_(b.size()), before_(b.size()) {
        for (size_t j = 0; j < b.size(); ++j) {
            places_[b[j]].push_back(j);
        }
        constexpr size_t k_long = 200;
        if (b.size() >= k_long) {
            std::erase_if(places_, [&](const auto & entry) { return entry.second.size() > b.size() / 100 + 1; });
        }
    }

    // The longest block in common; of equal ones the first in a, then the first in b.
    block longest(const ranges & in) {
        block best{in.a_begin, in.b_begin, 0};
        clear(before_, in);
        for (size_t i = in.a_begin; i < in.a_end; ++i) {
            clear(ending_, in);
            const auto found = places_.find(a_[i]);
            if (found != places_.end()) {
                for (const size_t j : found->second) {
                    if (j < in.b_begin || j >= in.b_end) {
                        continue;
                    }
                    const size_t size = (j > in.b_begin ? before_[j - 1] : 0) + 1;
                    ending_[j] = size;
                    if (size > best.size) {
                        best = {i + 1 - size, j + 1 - size, size};
                    }
                }
            }
            std::swap(ending_, before_);
        }
        while (best.a > in.a_begin && best.b > in.b_begin && a_[best.a - 1] == b_[best.b - 1]) {
            --best.a;
            --best.b;
            ++best.size;
        }
        while (best.a + best.size < in.a_end && best.b + best.size < in.b_end &&
               a_[best.a + best.size] == b_[best.b + best.size]) {
            ++best.size;
        }
        return best;
    }

  private:
    static void clear(std::vector<size_t> & sizes, const ranges & in) {
        std::fill(sizes.begin() + static_cast<std::ptrdiff_t>(in.b_begin),
                  sizes.begin() + static_cast<std::ptrdiff_t>(in.b_end), 0);
    }

    std::u32string_view a_, b_;
    std::map<char32_t, std::vector<size_t>> places_;  // of b's characters that may begin a block
    std::vector<size_t> ending_, before_;             // [b] size of the block that ends there, for this i and the last
};

}  // namespace

size_t matching_by_blocks(std::u32string_view a, std::u32string_view b) {
    block_matcher matcher(a, b);
    size_t n = 0;
    std::vector<ranges> open = {{0, a.size(), 0, b.size()}};
    while (!open.empty()) {
        const ranges in = open.back();
        open.pop_back();
        const block found = matcher.longest(in);
        if (found.size == 0) {
            continue;
        }
        n += found.size;
        if (in.a_begin < found.a && in.b_begin < found.b) {
            open.push_back({in.a_begin, found.a, in.b_begin, found.b});
        }
        if (found.a + found.size < in.a_end && found.b + found.size < in.b_end) {
            open.push_back({found.a + found.size, in.a_end, found.b + found.size, in.b_end});
        }
    }
    return n;
}

size_t longest_common(std::u32string_view a, std::u32string_view b) {
    std::vector<size_t> row(b.size() + 1);
    for (const char32_t c : a) {
        size_t diagonal = 0;  // row[j - 1] of the row before
        for (size_t j = 1; j <= b.size(); ++j) {
            const size_t above = row[j];
            row[j] = c == b[j - 1] ? diagonal + 1 : std::max(above, row[j - 1]);
            diagonal = above;
        }
    }
    return row[b.size()];
}

}  // namespace tmx
