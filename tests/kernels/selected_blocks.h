// selected_blocks.h -- what rows keep when blocks are selected, by an `if`, and the cases that CPU and GPU are tested
// with.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "cases.h"
#include "number_formats.h"
#include "problem.h"
#include "random_lists.h"
#include "trianglemix/selection.h"

namespace tmx::test {

struct selection_case {
    std::string name;
    test_case c;  // one segment, which is selected; its band is joined
    int64_t stride = 3;
};

inline selection_rule stride_rule(int64_t stride) {
    selection_rule rule = usual_rule(*find_selection_method("stride"));
    rule.values[0] = static_cast<double>(stride);
    return rule;
}

// Whether the row of rank i keeps the key of rank j: of its tile of 128 rows, the first block and its rows' own; every
// stride-th block back from the last row's; and whole blocks of which some row keeps a key through the band.
inline bool keeps_selected(const attention_segment & segment, int64_t stride, int64_t i, int64_t j) {
    const int64_t n_rows = segment.row_end - segment.row_begin;
    const int64_t tile = (i - segment.rank_begin) / 128;
    const int64_t first_row = segment.rank_begin + tile * 128;
    const int64_t last_row = std::min(first_row + 128, segment.rank_begin + n_rows) - 1;
    const int64_t block = j / 128;
    if (j > i) {
        return false;
    }
    if (block == 0 || block >= first_row / 128 || (last_row / 128 - block) % stride == 0) {
        return true;
    }
    for (int64_t row = first_row; row <= last_row; ++row) {
        for (int64_t key = block * 128; key < block * 128 + 128; ++key) {
            if (key < segment.kept.n_sink || row - key < segment.kept.n_window) {
                return true;
            }
        }
    }
    return false;
}

// [row, index on the key axis] f16, of the case's one segment.
inline std::vector<uint16_t> selected_mask(const test_case & c, const attention_segment & segment, int64_t stride) {
    std::vector<uint16_t> bits(static_cast<size_t>(c.n_q * c.n_kv),
                               f32_to_f16(-std::numeric_limits<float>::infinity()));
    for (int64_t row = segment.row_begin; row < segment.row_end; ++row) {
        const int64_t rank = segment.rank_begin + row - segment.row_begin;
        int64_t known_block = -1;
        bool block_kept = false;
        for (int64_t j = 0; j <= rank; ++j) {
            if (j / 128 != known_block) {
                known_block = j / 128;
                block_kept = keeps_selected(segment, stride, rank, j);
            }
            const int64_t key = segment.cells != nullptr ? segment.cells[j] : segment.key_begin + j;
            if (block_kept) {
                bits[static_cast<size_t>(row * c.n_kv + key)] = 0;
            }
        }
    }
    return bits;
}

// The case's memory, with numbers in every key that a row may see: which of them are kept, no band says.
inline std::unique_ptr<problem> selection_problem(test_case c) {
    std::vector<band> kept;
    for (case_segment & segment : c.segments) {
        kept.push_back(std::exchange(segment.rows.kept, {}));
    }
    std::unique_ptr<problem> p = make_problem(c);
    for (size_t i = 0; i < kept.size(); ++i) {
        p->segments[i].kept = kept[i];
    }
    return p;
}

inline std::vector<selection_case> selection_cases() {
    std::vector<selection_case> cases;
    const auto add = [&](std::string name, test_case c, int64_t stride) {
        c.n_head = std::min<int64_t>(c.n_head, 4);
        cases.push_back({std::move(name), std::move(c), stride});
    };
    for (const int64_t rank_begin : {0, 1, 128, 700, 1500}) {
        for (const int64_t stride : {1, 3, 1000}) {
            add("from " + std::to_string(rank_begin) + " stride " + std::to_string(stride),
                one_chunk(rank_begin, 150, k_no_band), stride);
        }
    }
    add("with a band", one_chunk(1300, 200, {8, 300}), 4);
    add("with a band of everything", one_chunk(900, 140, {}), 4);
    add("few rows", one_chunk(1000, 3, k_no_band), 2);
    const auto changed = [&](const char * name, auto change) {
        test_case c = one_chunk(900, 140, k_no_band);
        change(c);
        add(name, c, 3);
    };
    changed("bf16", [](test_case & c) { c.k_type = c.v_type = dtype::bf16; });
    changed("d = 64", [](test_case & c) { c.d_qk = c.d_v = 64; });
    changed("d = 256", [](test_case & c) { c.d_qk = c.d_v = 256; });
    changed("q8_0", [](test_case & c) { c.k_type = c.v_type = dtype::q8_0; });
    changed("cells", [](test_case & c) { c.segments[0].order = cell_order::shuffled; });
    changed("one key head", [](test_case & c) { c.n_head_kv = 1; });
    changed("as many key heads", [](test_case & c) { c.n_head = c.n_head_kv = 3; });
    changed("keys further on", [](test_case & c) {
        c.n_kv += 77;
        c.segments[0].rows.key_begin = 33;
    });
    return without_most_if_reduced(std::move(cases));
}

}  // namespace tmx::test
