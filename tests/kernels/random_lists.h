// random_lists.h -- random block lists, the mask that says the same, and the cases that CPU and GPU are tested with.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <limits>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "cases.h"
#include "number_formats.h"
#include "trianglemix/attention.h"

namespace tmx::test {

struct list_style {
    int64_t block_keys = 64;
    bool per_query_head = false;
    int32_t first_rank = 0;   // of a list's first block
    bool some_empty = false;  // every third list
};

// Lists for a case of one segment whose rows are its last ranks. The first block and those around the rows' own keys
// are always among them, unless the list is empty.
class random_lists {
  public:
    random_lists(const test_case & c, const list_style & style) : c_(c) {
        lists_.block_keys = style.block_keys;
        lists_.list_rows = 48;
        lists_.per_query_head = style.per_query_head;
        std::mt19937 random(7);
        n_lists_ = (c.n_q + lists_.list_rows - 1) / lists_.list_rows;
        begin_.push_back(0);
        for (int64_t list = 0; list < n_lists_ * (style.per_query_head ? c.n_head : c.n_head_kv); ++list) {
            const int64_t first_row = c.n_kv - c.n_q + list % n_lists_ * lists_.list_rows;
            const bool empty = style.some_empty && list % 3 == 1;
            for (int64_t rank = style.first_rank; rank < c.n_kv && !empty; rank += style.block_keys) {
                const bool near = rank + style.block_keys > first_row;
                if (rank == style.first_rank || near || random() % 3 == 0) {
                    first_rank_.push_back(static_cast<int32_t>(rank));
                }
            }
            begin_.push_back(static_cast<int64_t>(first_rank_.size()));
        }
        lists_.begin = begin_.data();
        lists_.first_rank = first_rank_.data();
    }
    random_lists(const random_lists &) = delete;
    random_lists & operator=(const random_lists &) = delete;

    const block_lists & lists() const { return lists_; }

    // [head, row, index on the key axis] f16.
    std::vector<uint16_t> mask(const int32_t * cells) const {
        std::vector<uint16_t> bits(static_cast<size_t>(c_.n_head * c_.n_q * c_.n_kv));
        for (int64_t head = 0; head < c_.n_head; ++head) {
            for (int64_t row = 0; row < c_.n_q; ++row) {
                for (int64_t rank = 0; rank < c_.n_kv; ++rank) {
                    const int64_t key = cells != nullptr ? cells[rank] : rank;
                    bits[static_cast<size_t>((head * c_.n_q + row) * c_.n_kv + key)] =
                        keeps(head, row, rank) ? 0 : f32_to_f16(-std::numeric_limits<float>::infinity());
                }
            }
        }
        return bits;
    }

  private:
    bool keeps(int64_t head, int64_t row, int64_t rank) const {
        const int64_t scope = lists_.per_query_head ? head : head / (c_.n_head / c_.n_head_kv);
        const int64_t list = scope * n_lists_ + row / lists_.list_rows;
        for (int64_t i = begin_[static_cast<size_t>(list)]; i < begin_[static_cast<size_t>(list) + 1]; ++i) {
            const int32_t first = first_rank_[static_cast<size_t>(i)];
            if (rank >= first && rank < first + lists_.block_keys) {
                return rank <= c_.n_kv - c_.n_q + row;
            }
        }
        return false;
    }

    const test_case & c_;
    block_lists lists_;
    std::vector<int64_t> begin_;
    std::vector<int32_t> first_rank_;
    int64_t n_lists_ = 0;
};

// Rows of ranks [rank_begin, rank_begin + n_rows) over the keys up to their own.
inline test_case one_chunk(int64_t rank_begin, int64_t n_rows, const band & kept) {
    test_case c;
    c.name = "one_chunk";
    c.n_head = 8;
    c.n_head_kv = 2;
    c.d_qk = c.d_v = 128;
    c.n_q = n_rows;
    c.n_kv = rank_begin + n_rows;
    case_segment segment;
    segment.rows.row_end = n_rows;
    segment.rows.rank_begin = rank_begin;
    segment.rows.kept = kept;
    c.segments = {segment};
    return c;
}

// Under sanitizers and emulators (TMX_TEST_REDUCED, cases.h) every fifth case stands for all.
template <typename T>
std::vector<T> without_most_if_reduced(std::vector<T> cases) {
    const char * reduced = std::getenv("TMX_TEST_REDUCED");
    if (reduced == nullptr || *reduced == 0 || *reduced == '0') {
        return cases;
    }
    std::vector<T> some;
    for (size_t i = 0; i < cases.size(); i += 5) {
        some.push_back(std::move(cases[i]));
    }
    return some;
}

struct list_case {
    std::string name;
    test_case c;
    list_style style;
};

inline std::vector<list_case> list_cases() {
    std::vector<list_case> cases;
    for (const bool per_query_head : {false, true}) {
        for (const int64_t block : {16, 64, 128}) {
            cases.push_back({"blocks of " + std::to_string(block) + (per_query_head ? ", per query head" : ""),
                             one_chunk(900, 130, {}),
                             {block, per_query_head, 0, false}});
        }
    }
    const auto changed = [&](const char * name, auto change) {
        list_case made{name, one_chunk(700, 130, {}), {64, false, 3, false}};
        change(made.c);
        cases.push_back(std::move(made));
    };
    changed("bf16", [](test_case & c) { c.k_type = c.v_type = dtype::bf16; });
    changed("d = 64", [](test_case & c) { c.d_qk = c.d_v = 64; });
    changed("d = 256", [](test_case & c) { c.d_qk = c.d_v = 256; });
    changed("q8_0", [](test_case & c) { c.k_type = c.v_type = dtype::q8_0; });
    changed("cells", [](test_case & c) { c.segments[0].order = cell_order::shuffled; });
    changed("sinks", [](test_case & c) { c.sink_logits = true; });
    changed("softcap", [](test_case & c) { c.softcap = 5; });
    cases.push_back({"empty lists", one_chunk(700, 130, {}), {64, true, 0, true}});
    cases.push_back({"empty lists, sinks", one_chunk(700, 130, {}), {64, true, 0, true}});
    cases.back().c.sink_logits = true;
    for (const int64_t block : {int64_t{1} << 12, int64_t{1} << 20, int64_t{1} << 40}) {
        cases.push_back({"blocks of " + std::to_string(block), one_chunk(700, 130, {}), {block, false, 5, false}});
    }
    return without_most_if_reduced(std::move(cases));
}

}  // namespace tmx::test
