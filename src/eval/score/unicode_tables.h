// eval/score/unicode_tables.h -- tables of characters that tools/unicode_tables.py makes. All are sorted.
#pragma once

#include <cstdint>
#include <span>

namespace tmx {

struct code_range {
    char32_t first = 0, last = 0;
};

// Every step-th character from first to last becomes itself plus `add`.
struct lower_run {
    char32_t first = 0, last = 0;
    int32_t step = 1, add = 0;
};

std::span<const code_range> word_ranges();  // letters, digits, numbers and "_"
std::span<const char32_t> decimal_zeros();  // nine more digits follow each
std::span<const lower_run> lower_runs();

}  // namespace tmx
