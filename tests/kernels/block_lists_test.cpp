// Block lists on the CPU: the same cases as the GPU's, against the oracle, which reads the same rule from a mask; and
// lists that hold every key give a dense segment's bits.
#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "cases.h"
#include "compare.h"
#include "oracle.h"
#include "plain.h"
#include "problem.h"
#include "random_lists.h"
#include "tested_kernels.h"

namespace tmx::test {
namespace {

TEST(block_lists, match_the_same_mask) {
    for (const list_case & each : list_cases()) {
        const test_case & c = each.c;
        const std::unique_ptr<problem> p = make_problem(c);
        const random_lists random(c, each.style);
        const std::vector<uint16_t> mask = random.mask(p->segments[0].cells);
        call_output plain = make_output(c, *p);
        plain.args.mask = mask.data();
        plain.args.mask_stride_row = c.n_kv;
        plain.args.mask_stride_head = c.n_q * c.n_kv;
        std::vector<attention_segment> masked = p->segments;
        masked[0].masked = true;
        const std::vector<oracle_row> oracle = oracle_attention(plain.args, masked, 7);
        for (const tested_kernel & kernel : tested_kernels()) {
            plain_attention(plain.args, masked, kernel.arithmetic, 7);
            const call_output output = make_output(c, *p);
            const block_lists lists = random.lists();
            const status result = attention_forward(output.args, p->segments, context_of(kernel), {&lists, 1});
            ASSERT_TRUE(result.ok()) << each.name << ": " << result.message();
            EXPECT_EQ("", check_written(c, *p, output)) << each.name;
            EXPECT_EQ("", compare(oracle, plain.args, output.args, kernel.arithmetic).failure)
                << each.name << ", " << kernel.label();
        }
    }
}

// Every block of `block_keys`, for every key head and stretch of rows.
struct full_lists {
    full_lists(const test_case & c, int64_t block_keys) {
        lists.block_keys = block_keys;
        lists.list_rows = 128;
        begin.push_back(0);
        for (int64_t list = 0; list < lists_of(lists, c.n_q) * c.n_head_kv; ++list) {
            for (int64_t rank = 0; rank < c.n_kv; rank += block_keys) {
                first_rank.push_back(static_cast<int32_t>(rank));
            }
            begin.push_back(static_cast<int64_t>(first_rank.size()));
        }
        lists.begin = begin.data();
        lists.first_rank = first_rank.data();
    }
    block_lists lists;
    std::vector<int64_t> begin;
    std::vector<int32_t> first_rank;
};

TEST(block_lists, of_every_key_give_the_bits_of_a_dense_segment) {
    for (const auto & [rank_begin, n_rows] : {std::pair<int64_t, int64_t>{0, 300}, {700, 130}, {513, 77}}) {
        const test_case c = one_chunk(rank_begin, n_rows, {});
        const std::unique_ptr<problem> p = make_problem(c);
        for (const tested_kernel & kernel : tested_kernels()) {
            const call_output dense = make_output(c, *p);
            ASSERT_TRUE(attention_forward(dense.args, p->segments, context_of(kernel)).ok());
            const full_lists full(c, 64);
            const call_output listed = make_output(c, *p);
            ASSERT_TRUE(attention_forward(listed.args, p->segments, context_of(kernel), {&full.lists, 1}).ok());
            EXPECT_EQ(0, std::memcmp(dense.out.data(), listed.out.data(), dense.out.size())) << kernel.label();
            EXPECT_EQ(0, std::memcmp(dense.lse.data(), listed.lse.data(), dense.lse.size())) << kernel.label();
        }
    }
}

TEST(block_lists, that_break_the_contract_are_refused) {
    const test_case c = one_chunk(100, 50, {});
    const std::unique_ptr<problem> p = make_problem(c);
    const call_output output = make_output(c, *p);
    const auto refused = [&](auto change) {
        full_lists lists(c, 64);
        std::vector<block_lists> all = {lists.lists};
        change(lists, all);
        return attention_forward(output.args, p->segments, context_of(tested_kernels()[0]), all).code();
    };
    EXPECT_EQ(status_code::ok, refused([](full_lists &, auto &) {}));
    EXPECT_EQ(status_code::invalid_argument, refused([](full_lists &, auto & all) { all.push_back(all[0]); }));
    EXPECT_EQ(status_code::invalid_argument, refused([](full_lists &, auto & all) { all[0].block_keys = 48; }));
    EXPECT_EQ(status_code::invalid_argument, refused([](full_lists &, auto & all) { all[0].block_keys = 8; }));
    EXPECT_EQ(status_code::invalid_argument, refused([](full_lists &, auto & all) { all[0].list_rows = 0; }));
    EXPECT_EQ(status_code::invalid_argument, refused([](full_lists & l, auto &) { l.begin[1] = -1; }));
    EXPECT_EQ(status_code::invalid_argument, refused([](full_lists & l, auto &) { l.first_rank[1] = 5; }));
}

}  // namespace
}  // namespace tmx::test
