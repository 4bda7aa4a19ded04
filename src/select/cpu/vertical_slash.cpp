#include "select/cpu/vertical_slash.h"

#include <algorithm>
#include <cmath>
#include <exception>
#include <limits>
#include <numeric>

#include "select/cpu/bit_ranges.h"
#include "select/methods.h"
#include "trianglemix/line_sums.h"

namespace tmx {

std::vector<int32_t> largest_sums(std::span<const float> sums, int64_t n, int64_t n_forced) {
    std::vector<int32_t> numbers(sums.size());
    std::iota(numbers.begin(), numbers.end(), 0);
    const bool finite = std::all_of(sums.begin(), sums.end(), [](float sum) { return std::isfinite(sum); });
    if (n >= static_cast<int64_t>(sums.size()) || !finite) {
        return numbers;
    }
    const auto rank = [&](int32_t number) {
        return number < n_forced ? std::numeric_limits<float>::infinity() : sums[static_cast<size_t>(number)];
    };
    std::nth_element(numbers.begin(), numbers.begin() + n, numbers.end(),
                     [&](int32_t a, int32_t b) { return rank(a) > rank(b) || (rank(a) == rank(b) && a < b); });
    numbers.resize(static_cast<size_t>(n));
    std::sort(numbers.begin(), numbers.end());
    return numbers;
}

void add_lines(std::span<const int32_t> verticals, std::span<const int32_t> slashes, int64_t head,
               block_bitmap & bits) {
    const bitmap_shape & shape = bits.shape;
    std::vector<uint32_t> kept(static_cast<size_t>(shape.n_words()));
    std::vector<uint32_t> distances(kept.size());
    for (const int32_t key : verticals) {
        set_bits(kept, {key / shape.block_keys, key / shape.block_keys + 1});
    }
    for (const int32_t slash : slashes) {
        set_bits(distances, crossed_distances({slash, slash + 1}, tile_phase(shape), shape.block_keys));
    }
    for (int64_t tile = 0; tile < shape.n_tiles(); ++tile) {
        for (int64_t word = 0; word < shape.n_words(); ++word) {
            bits.of(head, tile)[word] |= line_bits(shape, kept.data(), distances.data(), tile, word);
        }
    }
}

void add_published_lines(std::span<const int32_t> verticals, std::span<const int32_t> slashes, int64_t head,
                         block_bitmap & bits) {
    const bitmap_shape & shape = bits.shape;
    std::vector<uint32_t> words(static_cast<size_t>(shape.n_words()));
    for (int64_t tile = 0; tile < shape.n_tiles(); ++tile) {
        const index_range rows = shape.rows_of(tile);
        std::fill(words.begin(), words.end(), 0);
        const auto keep = [&](index_range keys) { set_bits(words, blocks_of(keys, shape.block_keys)); };
        for (int64_t first = rows.begin; first < rows.end; first += k_strip) {
            merge_lines(
                {first, first + k_strip}, rising_lines(slashes, true), rising_lines(verticals, false),
                [&](int64_t key) {
                    keep({key, key + k_strip});
                },
                [&](int64_t key) {
                    keep({key, key + 1});
                });
        }
        for (int64_t word = 0; word < shape.n_words(); ++word) {
            bits.of(head, tile)[word] |= words[static_cast<size_t>(word)] & visible_bits(rows, word, shape.block_keys);
        }
    }
}

status select_vertical_slash(const selection_rule & rule, const cpu_selection_call & call, block_bitmap & bits) {
    const vertical_slash_values values = vertical_slash_of(rule);
    line_sums sums;
    if (status s = sum_lines(call.args, call.segment, k_vertical_slash_rows, call.n_threads, sums, call.options.kernel);
        !s.ok()) {
        return s;
    }
    bool out_of_memory = false;
#pragma omp parallel for num_threads(call.n_threads) schedule(dynamic, 1) reduction(|| : out_of_memory)
    for (int64_t head = 0; head < call.args.n_head; ++head) {
        try {
            const std::vector<int32_t> verticals =
                largest_sums(sums.vertical_of(head), values.n_verticals, k_forced_verticals);
            const std::vector<int32_t> slashes = largest_sums(sums.slash_of(head), values.n_slashes, k_forced_slashes);
            if (values.reference) {
                add_published_lines(verticals, slashes, head, bits);
            } else {
                add_lines(verticals, slashes, head, bits);
            }
        } catch (const std::exception &) {
            out_of_memory = true;
        }
    }
    return out_of_memory ? status::error(status_code::out_of_memory, "no memory to select lines") : status();
}

}  // namespace tmx
