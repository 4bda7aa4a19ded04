// Selection on the CPU: what methods owe, and attention over what they select against the oracle.
#include <gtest/gtest.h>

#include <cstring>
#include <limits>
#include <memory>
#include <optional>
#include <vector>

#include "cases.h"
#include "compare.h"
#include "oracle.h"
#include "plain.h"
#include "problem.h"
#include "scored_layer.h"
#include "selected_blocks.h"
#include "tested_kernels.h"

namespace tmx::test {
namespace {

constexpr uint8_t k_selected[] = {1};

// Sizes only: no pointer is set.
attention_args sizes_of(int64_t n_head, int64_t n_head_kv, int64_t n_q, int64_t n_kv) {
    attention_args args;
    args.n_head = n_head;
    args.n_head_kv = n_head_kv;
    args.n_q = n_q;
    args.n_kv = n_kv;
    args.d_qk = args.d_v = 64;
    args.scale = 1;
    return args;
}

TEST(selection, every_method_keeps_what_is_mandatory_and_nothing_unseen) {
    const selection_options options{{rotary_pairs::halves, 64}, precision::exact, nullptr};
    for (const int64_t rank_begin : {0, 5, 128, 5000}) {
        const scored_layer layer({.rank_begin = rank_begin});
        for (int32_t method = 0; method < selection_methods(); ++method) {
            const int64_t keys = block_keys_of(usual_rule(method));
            block_bitmap bits({4, {rank_begin, rank_begin + 300}, keys});
            ASSERT_TRUE(select_blocks(usual_rule(method), layer.args, layer.segment, 2, bits, options).ok());
            for (int64_t head = 0; head < 4; ++head) {
                for (int64_t tile = 0; tile < bits.shape.n_tiles(); ++tile) {
                    const index_range rows = bits.shape.rows_of(tile);
                    for (int64_t word = 0; word < bits.shape.n_words(); ++word) {
                        const uint32_t found = bits.of(head, tile)[word];
                        EXPECT_EQ(mandatory_bits(rows, word, keys), found & mandatory_bits(rows, word, keys));
                        EXPECT_EQ(0u, found & ~visible_bits(rows, word, keys));
                    }
                }
            }
        }
    }
}

// Rules that leave out nothing.
std::vector<selection_rule> rules_of_everything() {
    std::vector<selection_rule> rules = {stride_rule(1)};
    const auto add = [&](const char * method, size_t value, double most) {
        rules.push_back(usual_rule(*find_selection_method(method)));
        rules.back().values[value] = most;
    };
    add("flexprefill", 0, 1);
    add("vertical_slash", 0, 1 << 20);
    add("vertical_slash", 1, 1 << 20);
    return rules;
}

TEST(selection, a_chunk_selects_what_the_whole_selects_where_it_begins_on_a_block) {
    const attention_args args = sizes_of(1, 1, 2000, 2000);
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
            for (const selection_rule & rule : rules_of_everything()) {
                const call_output all = make_output(c, *p);
                ASSERT_TRUE(selected_attention_forward({rule, k_selected, false}, all.args, selected,
                                                       context_of(kernel), nullptr)
                                .ok());
                EXPECT_EQ(0, std::memcmp(dense.out.data(), all.out.data(), dense.out.size()))
                    << kernel.label() << ", " << selection_method_of(rule.method).name;
            }
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

// Every way of asking answers alike, and none works on what it refuses.
void expect_refused(const selection_rule & rule, const attention_args & args, const attention_segment & segment,
                    status_code code = status_code::invalid_argument) {
    const selection_request request{rule, k_selected, false};
    EXPECT_EQ(
        code,
        selected_attention_forward(request, args, {&segment, 1}, context_of(tested_kernels()[0]), nullptr).code());
    EXPECT_EQ(std::nullopt, pairs_known_ahead(request, args, {&segment, 1}));
    block_bitmap bits({1, {0, 128}});
    EXPECT_EQ(code, select_blocks(rule, args, segment, 1, bits).code());
}

TEST(selection, refuses_rules_that_no_method_takes) {
    const test_case c = one_chunk(100, 50, {});
    const std::unique_ptr<problem> p = selection_problem(c);
    const call_output output = make_output(c, *p);
    for (const selection_rule & rule : {selection_rule{}, stride_rule(-3), stride_rule(int64_t{1} << 40),
                                        selection_rule{-1, {1}}, selection_rule{selection_methods(), {1}}}) {
        expect_refused(rule, output.args, p->segments[0]);
        EXPECT_EQ(nullptr, cuda_selector_of(rule));
    }
}

TEST(selection, refuses_sizes_that_the_kernels_refuse) {
    const test_case c = one_chunk(100, 50, {});
    const std::unique_ptr<problem> p = selection_problem(c);
    const call_output output = make_output(c, *p);
    constexpr int64_t k_huge = std::numeric_limits<int64_t>::max();
    std::vector<attention_args> calls(4, output.args);
    calls[0].n_head_kv = 0;
    calls[1].n_head = -2;
    calls[2].n_kv = 149;
    calls[3].n_q = 49;
    for (const attention_args & args : calls) {
        expect_refused(stride_rule(3), args, p->segments[0]);
    }
    std::vector<attention_segment> segments(5, p->segments[0]);
    segments[0].batch = static_cast<int32_t>(output.args.n_batch);
    segments[1].rank_begin = k_huge;
    segments[2].rank_begin = -1;
    segments[3].row_begin = segments[3].row_end + 1;
    segments[4].row_end = k_huge;
    for (const attention_segment & segment : segments) {
        expect_refused(stride_rule(3), output.args, segment);
    }
}

TEST(selection, refuses_more_than_it_can_count) {
    const test_case c = one_chunk(100, 50, {});
    const std::unique_ptr<problem> p = selection_problem(c);
    attention_args args = make_output(c, *p).args;
    args.n_kv = std::numeric_limits<int64_t>::max();
    attention_segment segment = p->segments[0];
    segment.cells = nullptr;
    segment.key_begin = 0;
    segment.rank_begin = args.n_kv - 50;
    expect_refused(stride_rule(3), args, segment, status_code::unsupported);
}

TEST(selection, refuses_pointers_bits_and_threads_that_are_not_there) {
    const test_case c = one_chunk(100, 50, {});
    const std::unique_ptr<problem> p = selection_problem(c);
    const call_output output = make_output(c, *p);
    cpu_context & ctx = context_of(tested_kernels()[0]);
    const selection_request request{stride_rule(3), k_selected, false};
    const auto code = [&](const attention_args & args) {
        return selected_attention_forward(request, args, p->segments, ctx, nullptr).code();
    };
    attention_args no_keys = output.args;
    no_keys.k = nullptr;
    EXPECT_EQ(status_code::invalid_argument, code(no_keys));
    ctx.n_threads = 0;
    EXPECT_EQ(status_code::invalid_argument, code(output.args));
    ctx.n_threads = 2;
    block_bitmap bits({c.n_head, {100, 150}});
    EXPECT_TRUE(select_blocks(request.rule, output.args, p->segments[0], 1, bits).ok());
    EXPECT_FALSE(select_blocks(request.rule, output.args, p->segments[0], 0, bits).ok());
    block_bitmap others({c.n_head, {100, 151}});
    EXPECT_FALSE(select_blocks(request.rule, output.args, p->segments[0], 1, others).ok());
}

}  // namespace
}  // namespace tmx::test
