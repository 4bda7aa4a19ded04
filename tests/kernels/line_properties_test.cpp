// What methods that keep lines owe whatever they keep.
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <memory>
#include <vector>

#include "flexprefill_oracle.h"
#include "problem.h"
#include "vertical_slash_oracle.h"

namespace tmx::test {
namespace {

std::vector<line_method_case> cases() {
    std::vector<line_method_case> all = vertical_slash_cases(false);
    for (const std::vector<line_method_case> & more : {vertical_slash_cases(true), flexprefill_cases()}) {
        all.insert(all.end(), more.begin(), more.end());
    }
    return all;
}

block_bitmap select(const selection_rule & rule, const attention_args & args, const attention_segment & s,
                    int32_t n_threads) {
    block_bitmap bits({args.n_head, {s.rank_begin, s.rank_begin + s.row_end - s.row_begin}, block_keys_of(rule)});
    EXPECT_TRUE(select_blocks(rule, args, s, n_threads, bits).ok());
    return bits;
}

TEST(line_methods, have_the_same_bits_for_any_number_of_threads) {
    for (const line_method_case & each : cases()) {
        const std::unique_ptr<problem> p = make_problem(each.c);
        const block_bitmap one = select(each.rule, p->args, p->segments[0], 1);
        for (const int32_t n_threads : {2, 5}) {
            ASSERT_EQ(one.words, select(each.rule, p->args, p->segments[0], n_threads).words) << each.c.seed;
        }
    }
}

// So neither the other heads nor their order matter.
TEST(line_methods, keep_for_a_head_what_they_keep_where_it_is_alone) {
    for (const line_method_case & each : cases()) {
        const std::unique_ptr<problem> p = make_problem(each.c);
        const block_bitmap all = select(each.rule, p->args, p->segments[0], 2);
        const auto head_words = static_cast<std::ptrdiff_t>(all.shape.n_tiles() * all.shape.n_words());
        for (int64_t head = 0; head < each.c.n_head; ++head) {
            attention_args args = p->args;
            const int64_t key_head = head / (each.c.n_head / each.c.n_head_kv);
            args.q += head * args.q_stride_head;
            args.k = static_cast<const uint8_t *>(args.k) +
                     key_head * args.k_stride_head / block_elems(args.k_type) * block_bytes(args.k_type);
            args.n_head = args.n_head_kv = 1;
            const block_bitmap alone = select(each.rule, args, p->segments[0], 1);
            ASSERT_TRUE(std::equal(alone.words.begin(), alone.words.end(), all.words.begin() + head * head_words))
                << each.c.seed << ", head " << head;
        }
    }
}

TEST(line_methods, survive_what_is_no_number) {
    for (const line_method_case & each : cases()) {
        const std::unique_ptr<problem> p = make_problem(each.c);
        auto * q = const_cast<float *>(p->args.q);  // of the first row
        const bool flexprefill = selection_method_of(each.rule.method).name == "flexprefill";
        const bool looked_at = each.c.n_q <= (flexprefill ? 128 : 64);
        for (int64_t i = 0; i < p->args.d_qk; ++i) {
            q[i] = i % 2 == 0 ? std::numeric_limits<float>::quiet_NaN() : std::numeric_limits<float>::infinity();
        }
        const block_bitmap bits = select(each.rule, p->args, p->segments[0], 2);
        for (int64_t tile = 0; tile < bits.shape.n_tiles(); ++tile) {
            const index_range rows = bits.shape.rows_of(tile);
            for (int64_t word = 0; word < bits.shape.n_words(); ++word) {
                const uint32_t mandatory = mandatory_bits(rows, word, bits.shape.block_keys);
                const uint32_t visible = visible_bits(rows, word, bits.shape.block_keys);
                ASSERT_EQ(mandatory, bits.of(0, tile)[word] & mandatory);
                ASSERT_EQ(0u, bits.of(0, tile)[word] & ~visible);
                if (looked_at) {  // what cannot be judged is kept
                    ASSERT_EQ(visible, bits.of(0, tile)[word]);
                }
            }
        }
    }
}

}  // namespace
}  // namespace tmx::test
