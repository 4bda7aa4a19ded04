// Method "vertical_slash": the columns and the diagonals of keys that the last rows attend to most. MInference (arXiv
// 2407.02490).
//
// For each query head, from the weights of the segment's last 64 rows (line_sums.h): the `vertical` keys, at least 30,
// with the largest sums, the first 30 keys before all; and the `slash` distances, at least 100, with the largest sums,
// the first 100 before all. Ties go to the lower number. A tile keeps, in blocks of 16 keys, every block that holds one
// of these keys, and every block in which one of its rows, of 128, meets one of these slashes.
//
// WHY FINE BITS   A column is one key and a diagonal crosses a tile anywhere, so with blocks of 128 keys 512 scattered
// columns alone would keep all of 64K keys. Blocks of 16 keys are the smallest that attention visits (block_lists.h). A
// lone column then costs 16 keys a row, and a lone slash 144; neighbours share them.
//
// reference = 1, the published rule: at least 50 slashes, whose strips are made anew for every 64 rows: each slash is
// the 64 keys that it crosses there, from any rank on, and strips that touch or overlap grow in steps of 64 keys, which
// may keep up to 63 more than they must. A tile keeps the blocks of 16 keys that hold a key of a strip or a column.
#pragma once

#include <cstdint>

#include "select/line_bits.h"
#include "trianglemix/selection_rule.h"

namespace tmx {

constexpr int64_t k_vertical_slash_rows = 64;  // of the segment, whose weights are looked at
constexpr int64_t k_forced_verticals = 30;
constexpr int64_t k_forced_slashes = 100;
constexpr int64_t k_strip = 64;  // rows, and keys, of the published rule's strips

struct vertical_slash_values {
    int64_t n_verticals = 0;
    int64_t n_slashes = 0;
    bool reference = false;
};

constexpr vertical_slash_values vertical_slash_of(const selection_rule & rule) {
    constexpr int64_t k_published_slashes = 50;
    const bool reference = rule.values[2] != 0;
    return {larger(static_cast<int64_t>(rule.values[0]), k_forced_verticals),
            larger(static_cast<int64_t>(rule.values[1]), reference ? k_published_slashes : k_forced_slashes),
            reference};
}

constexpr int64_t k_no_line = -1;

// The published merging of lines into strips and columns, for a block of rows, as many as a strip has keys.
// next_slash() and next_vertical() give the kept slashes, falling, and the kept verticals, rising; k_no_line where
// there are no more. Calls strip(first key of a strip), rising, and column(key) for the verticals that no strip holds,
// rising. Every row sees through them each key of its slashes and verticals exactly once, where slash 0 is among them;
// else verticals from rows.begin on need a mask.
template <typename slash_source, typename vertical_source, typename strip_sink, typename column_sink>
TMX_HOST_DEVICE constexpr void merge_lines(index_range rows, slash_source next_slash, vertical_source next_vertical,
                                           const strip_sink & strip, const column_sink & column) {
    const int64_t keys = rows.size();
    int64_t vertical = next_vertical();
    index_range run;
    const auto end_run = [&] {
        for (; vertical != k_no_line && vertical < run.begin; vertical = next_vertical()) {
            column(vertical);
        }
        while (vertical != k_no_line && vertical < run.end) {
            vertical = next_vertical();
        }
        for (int64_t first = run.begin; first < run.end; first += keys) {
            strip(first);
        }
    };
    for (int64_t slash = next_slash(); slash != k_no_line; slash = next_slash()) {
        if (slash >= rows.end) {
            continue;
        }
        const int64_t end = larger(rows.end - slash, keys);
        if (run.empty()) {
            run = {end - keys, end};
        } else if (end > run.end && end - keys <= run.end) {
            run.end += keys;
        } else if (end > run.end) {
            end_run();
            run = {end - keys, end};
        }
    }
    end_run();
    for (; vertical != k_no_line && vertical < rows.end; vertical = next_vertical()) {
        column(vertical);
    }
}

}  // namespace tmx
