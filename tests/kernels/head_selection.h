// head_selection.h -- heads that select by rules of their own: what each keeps, by an `if`, and the cases that CPU and
// GPU are tested with.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "selected_blocks.h"

namespace tmx::test {

struct heads_case {
    std::string name;
    test_case c;                   // one segment, which is selected
    std::vector<int64_t> strides;  // of the rules
    std::vector<int32_t> of_head;
    int32_t otherwise = k_keeps_all;
    uint8_t mark = 1;
    bool per_query_head = true;
};

// A request and what it points to.
class heads_request {
  public:
    explicit heads_request(const heads_case & each) : of_head_(each.of_head), marks_{each.mark} {
        for (const int64_t stride : each.strides) {
            rules_.push_back(stride_rule(stride));
        }
        request_ = {.rule = rules_.front(),
                    .selected = marks_,
                    .per_query_head = each.per_query_head,
                    .heads = {.rules = rules_, .of_head = of_head_, .otherwise = each.otherwise}};
    }
    heads_request(const heads_request &) = delete;
    heads_request & operator=(const heads_request &) = delete;

    const selection_request & request() const { return request_; }

  private:
    std::vector<selection_rule> rules_;
    std::vector<int32_t> of_head_;
    std::vector<uint8_t> marks_;
    selection_request request_;
};

// What the head does, by itself: the stride of its rule; 0: every key; far beyond any block: the band's blocks.
inline int64_t stride_of_head(const heads_case & each, int64_t head) {
    constexpr int64_t k_no_stride = int64_t{1} << 40;
    int32_t rule = each.of_head[static_cast<size_t>(head)];
    if (rule >= each.mark) {
        rule = each.otherwise;
    }
    return rule == k_keeps_all ? 0 : rule == k_keeps_band ? k_no_stride : each.strides[static_cast<size_t>(rule)];
}

// Whether the head keeps the key of rank j for the row of rank i.
inline bool head_keeps(const heads_case & each, const attention_segment & segment, int64_t head, int64_t i, int64_t j) {
    const int64_t group = each.c.n_head / each.c.n_head_kv;
    const int64_t begin = each.per_query_head ? head : head / group * group;
    const int64_t end = each.per_query_head ? head + 1 : begin + group;
    bool kept = false;
    for (int64_t other = begin; other < end && !kept; ++other) {
        const int64_t stride = stride_of_head(each, other);
        kept = stride == 0 ? j <= i : keeps_selected(segment, stride, i, j);
    }
    return kept;
}

// [head, row, index on the key axis] f16.
inline std::vector<uint16_t> head_masks(const heads_case & each, const attention_segment & segment) {
    const test_case & c = each.c;
    std::vector<uint16_t> masks(static_cast<size_t>(c.n_head * c.n_q * c.n_kv),
                                f32_to_f16(-std::numeric_limits<float>::infinity()));
    for (int64_t head = 0; head < c.n_head; ++head) {
        for (int64_t row = segment.row_begin; row < segment.row_end; ++row) {
            const int64_t rank = segment.rank_begin + row - segment.row_begin;
            bool kept = false;
            for (int64_t j = 0; j <= rank; ++j) {
                kept = j % 128 == 0 ? head_keeps(each, segment, head, rank, j) : kept;
                const int64_t key = segment.cells != nullptr ? segment.cells[j] : segment.key_begin + j;
                if (kept) {
                    masks[static_cast<size_t>((head * c.n_q + row) * c.n_kv + key)] = 0;
                }
            }
        }
    }
    return masks;
}

// A case's memory, and the same attention by a mask a head, as the oracle takes it.
struct heads_problem {
    explicit heads_problem(const heads_case & each)
        : p(selection_problem(each.c)),
          masks(head_masks(each, p->segments[0])),
          plain(make_output(each.c, *p)),
          masked(p->segments) {
        plain.args.mask = masks.data();
        plain.args.mask_stride_head = each.c.n_q * each.c.n_kv;
        plain.args.mask_stride_row = each.c.n_kv;
        masked[0].masked = true;
    }

    std::unique_ptr<problem> p;
    std::vector<uint16_t> masks;
    call_output plain;
    std::vector<attention_segment> masked;
};

// The pairs that selected_attention_forward() should add up.
inline std::vector<int64_t> sums_of_masks(const heads_case & each, const selection_request & request,
                                          const std::vector<uint16_t> & masks) {
    std::vector<int64_t> sums(each.strides.size() + 1);
    const auto per_head = static_cast<size_t>(each.c.n_q * each.c.n_kv);
    for (size_t head = 0; head < each.of_head.size(); ++head) {
        int64_t & sum = sums[request.sum_of(head, each.mark)];
        for (size_t i = 0; i < per_head; ++i) {
            sum += masks[head * per_head + i] == 0 ? 1 : 0;
        }
    }
    return sums;
}

inline std::vector<heads_case> heads_cases() {
    std::vector<heads_case> cases;
    const auto add = [&](std::string name, std::vector<int32_t> of_head, uint8_t mark, int32_t otherwise,
                         bool per_query_head, const band & kept = k_no_band) {
        test_case c = one_chunk(1100, 150, kept);
        c.n_head = 4;
        c.n_head_kv = 2;
        cases.push_back({std::move(name), std::move(c), {3, 7}, std::move(of_head), otherwise, mark, per_query_head});
    };
    add("two rules", {0, 1, 1, 0}, 2, k_keeps_all, true);
    add("one of two in force", {0, 1, 1, 0}, 1, k_keeps_all, true);
    add("one of two in force beside a band", {0, 1, 1, 0}, 1, k_keeps_band, true, {8, 300});
    add("dense heads", {k_keeps_all, 0, 0, k_keeps_all}, 1, k_keeps_all, true);
    add("heads of a band", {k_keeps_band, 0, 1, k_keeps_band}, 2, k_keeps_band, true, {8, 300});
    add("groups apart", {0, 0, 1, 1}, 2, k_keeps_all, false);
    add("the union of a group", {0, 1, k_keeps_all, 0}, 2, k_keeps_all, false);
    add("a rule of no head", {1, 1, 1, k_keeps_all}, 2, k_keeps_all, true);
    cases.push_back(cases.front());
    cases.back().name = "cells";
    cases.back().c.segments[0].order = cell_order::shuffled;
    cases.push_back(cases.front());
    cases.back().name = "q8_0";
    cases.back().c.k_type = cases.back().c.v_type = dtype::q8_0;
    return without_most_if_reduced(std::move(cases));
}

}  // namespace tmx::test
