// line_method_cases.h -- random cases for methods that keep lines, and what of their bits an oracle can say, for CPU
// and GPU.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "line_oracle.h"
#include "random_lists.h"
#include "trianglemix/selection.h"

namespace tmx::test {

struct line_method_case {
    test_case c;
    selection_rule rule;
};

inline int64_t wanted_line_cases() {
    const char * wanted = std::getenv("TMX_TEST_RANDOM");
    return wanted != nullptr ? std::atoll(wanted) : 40;
}

inline test_case random_line_case(std::mt19937_64 & random) {
    const auto pick = [&](std::initializer_list<int64_t> from) { return from.begin()[random() % from.size()]; };
    const int64_t n_rows = pick({1, 3, 60, 64, 128, 129, 200, 333});
    test_case c = one_chunk(pick({0, 0, 1, 17, 128, 250, 640, 1000}), n_rows, {});
    c.n_head_kv = pick({1, 1, 2, 3});
    c.n_head = c.n_head_kv * pick({1, 2, 4});
    c.d_qk = c.d_v = pick({64, 64, 128});
    c.k_type = c.v_type = std::initializer_list<dtype>{dtype::f16, dtype::bf16, dtype::q8_0}.begin()[random() % 3];
    c.segments[0].order = random() % 4 == 0 ? cell_order::shuffled : cell_order::stretch;
    c.query_gain = static_cast<float>(pick({1, 2, 4}));
    c.seed = random();
    return c;
}

// What the oracle says of a head's tile and block.
using block_oracle = std::function<kept_state(int64_t head, int64_t tile, int64_t block)>;

struct bits_verdict {
    std::string failure;    // of the first wrong bit
    int64_t n_decided = 0;  // bits that the oracle is sure of, mandatory ones left out
    int64_t n_maybe = 0;
};

inline bits_verdict check_line_bits(const block_bitmap & bits, const block_oracle & oracle) {
    bits_verdict verdict;
    const bitmap_shape & shape = bits.shape;
    for (int64_t head = 0; head < shape.n_head; ++head) {
        for (int64_t tile = 0; tile < shape.n_tiles(); ++tile) {
            const index_range rows = shape.rows_of(tile);
            for (int64_t block = 0; block < shape.n_words() * 32; ++block) {
                const int64_t first_key = block * shape.block_keys;
                const bool kept = bits.keeps(head, tile, block);
                kept_state state = kept_state::no;
                if (first_key < rows.end) {
                    const bool mandatory = block == 0 || first_key + shape.block_keys > rows.begin;
                    state = mandatory ? kept_state::yes : oracle(head, tile, block);
                    verdict.n_decided += !mandatory && state != kept_state::maybe ? 1 : 0;
                    verdict.n_maybe += state == kept_state::maybe ? 1 : 0;
                }
                if (state != kept_state::maybe && kept != (state == kept_state::yes) && verdict.failure.empty()) {
                    verdict.failure = "head " + std::to_string(head) + ", tile " + std::to_string(tile) + ", block " +
                                      std::to_string(block) + (kept ? " is kept" : " is not kept");
                }
            }
        }
    }
    return verdict;
}

// Of the rows of a tile, as if it had 128, and the keys of a block: what of `slash` and `vertical` they meet at most.
template <typename F, typename G>
kept_state met_lines(int64_t first_row, index_range keys, const F & slash, const G & vertical) {
    kept_state most = kept_state::no;
    for (int64_t key = keys.begin; key < keys.end && most != kept_state::yes; ++key) {
        most = std::max(most, vertical(key));
        for (int64_t row = first_row; row < first_row + 128 && most != kept_state::yes; ++row) {
            if (row >= key) {
                most = std::max(most, slash(row - key));
            }
        }
    }
    return most;
}

}  // namespace tmx::test
