// Selection on the CPU: what methods owe, and attention over what they select against the oracle.
#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <vector>

#include "cases.h"
#include "compare.h"
#include "oracle.h"
#include "plain.h"
#include "problem.h"
#include "selected_blocks.h"
#include "tested_kernels.h"

namespace tmx::test {
namespace {

constexpr uint8_t k_selected[] = {1};

cpu_context & context_of(const tested_kernel & kernel) {
    static cpu_context context;
    context.kernel = kernel.name;
    context.arithmetic = kernel.arithmetic;
    context.n_threads = 2;
    return context;
}

TEST(selection, every_method_keeps_what_is_mandatory_and_nothing_unseen) {
    attention_args args;
    args.n_head = 4;
    args.n_head_kv = 2;
    for (int32_t method = 0; method < selection_methods(); ++method) {
        for (const int64_t rank_begin : {0, 5, 128, 5000}) {
            attention_segment segment;
            segment.row_end = 300;
            segment.rank_begin = rank_begin;
            block_bitmap bits({4, {rank_begin, rank_begin + 300}});
            ASSERT_TRUE(select_blocks(usual_rule(method), args, segment, 2, bits).ok());
            for (int64_t head = 0; head < 4; ++head) {
                for (int64_t tile = 0; tile < bits.shape.n_tiles(); ++tile) {
                    const index_range rows = bits.shape.rows_of(tile);
                    for (int64_t word = 0; word < bits.shape.n_words(); ++word) {
                        const uint32_t found = bits.of(head, tile)[word];
                        EXPECT_EQ(mandatory_bits(rows, word), found & mandatory_bits(rows, word));
                        EXPECT_EQ(0u, found & ~visible_bits(rows, word));
                    }
                }
            }
        }
    }
}

TEST(selection, a_chunk_selects_what_the_whole_selects_where_it_begins_on_a_block) {
    attention_args args;
    args.n_head = args.n_head_kv = 1;
    attention_segment whole;
    whole.row_end = 2000;
    attention_segment chunk;
    chunk.row_end = 2000 - 1280;
    chunk.rank_begin = 1280;
    block_bitmap all({1, {0, 2000}});
    block_bitmap part({1, {1280, 2000}});
    ASSERT_TRUE(select_blocks(stride_rule(4), args, whole, 1, all).ok());
    ASSERT_TRUE(select_blocks(stride_rule(4), args, chunk, 1, part).ok());
    for (int64_t tile = 0; tile < part.shape.n_tiles(); ++tile) {
        for (int64_t block = 0; block < 16; ++block) {
            EXPECT_EQ(all.keeps(0, tile + 10, block), part.keeps(0, tile, block)) << tile << " " << block;
        }
    }
}

TEST(selection, attention_over_selected_blocks_matches_the_same_mask) {
    for (const selection_case & each : selection_cases()) {
        const test_case & c = each.c;
        const std::unique_ptr<problem> p = selection_problem(c);
        const std::vector<uint16_t> mask = selected_mask(c, p->segments[0], each.stride);
        call_output plain = make_output(c, *p);
        plain.args.mask = mask.data();
        plain.args.mask_stride_row = c.n_kv;
        std::vector<attention_segment> masked = p->segments;
        masked[0].masked = true;
        const std::vector<oracle_row> oracle = oracle_attention(plain.args, masked, 7);
        int64_t n_kept = 0;
        for (const uint16_t entry : mask) {
            n_kept += entry == 0 ? 1 : 0;
        }
        for (const tested_kernel & kernel : tested_kernels()) {
            plain_attention(plain.args, masked, kernel.arithmetic, 7);
            for (const bool per_query_head : {false, true}) {
                const call_output output = make_output(c, *p);
                const selection_request request{stride_rule(each.stride), k_selected, per_query_head};
                int64_t kept = 5;
                const status result =
                    selected_attention_forward(request, output.args, p->segments, context_of(kernel), &kept);
                ASSERT_TRUE(result.ok()) << each.name << ": " << result.message();
                EXPECT_EQ("", check_written(c, *p, output)) << each.name;
                EXPECT_EQ("", compare(oracle, plain.args, output.args, kernel.arithmetic).failure)
                    << each.name << ", " << kernel.label();
                EXPECT_EQ(5 + n_kept * c.n_head, kept) << each.name;
                EXPECT_EQ(n_kept * c.n_head, pairs_known_ahead(request, output.args, p->segments)) << each.name;
            }
        }
    }
}

TEST(selection, of_everything_gives_the_bits_of_dense) {
    for (const int64_t rank_begin : {0, 900}) {
        const test_case c = one_chunk(rank_begin, 200, k_no_band);
        const std::unique_ptr<problem> p = make_problem(one_chunk(rank_begin, 200, {}));
        std::vector<attention_segment> selected = p->segments;
        selected[0].kept = k_no_band;
        for (const tested_kernel & kernel : tested_kernels()) {
            const call_output dense = make_output(c, *p);
            ASSERT_TRUE(attention_forward(dense.args, p->segments, context_of(kernel)).ok());
            const call_output all = make_output(c, *p);
            ASSERT_TRUE(selected_attention_forward({stride_rule(1), k_selected, false}, all.args, selected,
                                                   context_of(kernel), nullptr)
                            .ok());
            EXPECT_EQ(0, std::memcmp(dense.out.data(), all.out.data(), dense.out.size())) << kernel.label();
        }
    }
}

TEST(selection, leaves_other_segments_to_their_bands) {
    test_case c = one_chunk(800, 200, {8, 64});
    case_segment rest = c.segments[0];
    c.segments[0].rows.row_end = 120;
    rest.rows.row_begin = 120;
    rest.rows.rank_begin = 920;
    rest.rows.kept = {};
    c.segments.push_back(rest);
    const std::unique_ptr<problem> p = selection_problem(c);
    const tested_kernel kernel = tested_kernels()[0];
    const call_output banded = make_output(c, *p);
    ASSERT_TRUE(attention_forward(banded.args, p->segments, context_of(kernel)).ok());
    const call_output none = make_output(c, *p);
    constexpr uint8_t k_none[] = {0, 0};
    int64_t kept = 0;
    ASSERT_TRUE(
        selected_attention_forward({stride_rule(2), k_none, false}, none.args, p->segments, context_of(kernel), &kept)
            .ok());
    EXPECT_EQ(0, std::memcmp(banded.out.data(), none.out.data(), banded.out.size()));
    EXPECT_EQ(0, kept);
}

TEST(selection, refuses_what_breaks_the_contract) {
    const test_case c = one_chunk(100, 50, {});
    const std::unique_ptr<problem> p = selection_problem(c);
    const call_output output = make_output(c, *p);
    const auto code = [&](const selection_request & request, const std::vector<attention_segment> & segments) {
        return selected_attention_forward(request, output.args, segments, context_of(tested_kernels()[0]), nullptr)
            .code();
    };
    selection_rule unknown = stride_rule(3);
    unknown.method = selection_methods();
    EXPECT_EQ(status_code::invalid_argument, code({unknown, k_selected, false}, p->segments));
    EXPECT_EQ(status_code::invalid_argument, code({stride_rule(3), {}, false}, p->segments));
    std::vector<attention_segment> masked = p->segments;
    masked[0].masked = true;
    EXPECT_EQ(status_code::invalid_argument, code({stride_rule(3), k_selected, false}, masked));
}

}  // namespace
}  // namespace tmx::test
