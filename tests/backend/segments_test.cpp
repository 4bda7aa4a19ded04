// Segments that a plan makes of causal runs, and their counts.
#include "backend/segments.h"

#include <gtest/gtest.h>

#include "backend/selected_node.h"

namespace tmx::test {
namespace {

constexpr triangle_shape k_shape{.n_sink = 4, .n_window = 32, .n_last = 16};
const band k_banded{4, 32};

causal_run run_of(int64_t row_begin, int64_t row_end, int64_t rank_begin, std::vector<int64_t> output_rows = {}) {
    return {.stream = 0,
            .row_begin = row_begin,
            .row_end = row_end,
            .rank_begin = rank_begin,
            .key_begin = 7,
            .cells = {},
            .output_rows = std::move(output_rows)};
}

layer_rule rule(tail_policy tail, int64_t prompt_length = -1) {
    static const layer_heads banded = [] {
        layer_heads heads;
        heads.id = 1;
        heads.banded = true;
        return heads;
    }();
    return {.heads = &banded, .shape = k_shape, .tail = tail, .prompt_length = prompt_length, .way = nullptr};
}

struct stretch {
    int64_t begin;
    int64_t end;
    bool dense;
    bool operator==(const stretch &) const = default;
};

std::vector<stretch> stretches(const std::vector<attention_segment> & segments) {
    std::vector<stretch> all;
    for (const attention_segment & segment : segments) {
        EXPECT_FALSE(segment.masked);
        EXPECT_TRUE(segment.kept.dense() || segment.kept == k_banded);
        all.push_back({segment.row_begin, segment.row_end, segment.kept.dense()});
    }
    return all;
}

TEST(make_segments, dense_layer_takes_one_segment_a_run) {
    const std::vector<attention_segment> segments = make_segments({{run_of(0, 10, 5), run_of(10, 100, 0)}, {}}, {});
    ASSERT_EQ(segments.size(), 2u);
    EXPECT_TRUE(segments[0].kept.dense());
    EXPECT_EQ(segments[0].rank_begin, 5);
    EXPECT_EQ(segments[0].key_begin, 7);
    EXPECT_EQ(segments[1].row_begin, 10);
    EXPECT_EQ(segments[1].row_end, 100);
}

TEST(make_segments, tail_chunk_keeps_the_last_rows_of_every_run) {
    EXPECT_EQ(stretches(make_segments({{run_of(0, 100, 0)}, {}}, rule(tail_policy::chunk))),
              (std::vector<stretch>{{0, 84, false}, {84, 100, true}}));
    EXPECT_EQ(stretches(make_segments({{run_of(0, 50, 0), run_of(50, 100, 30)}, {}}, rule(tail_policy::chunk))),
              (std::vector<stretch>{{0, 34, false}, {34, 50, true}, {50, 84, false}, {84, 100, true}}));
}

TEST(make_segments, tail_output_keeps_only_rows_near_output_rows) {
    EXPECT_EQ(stretches(make_segments({{run_of(0, 100, 0)}, {}}, rule(tail_policy::output))),
              (std::vector<stretch>{{0, 100, false}}));
    EXPECT_EQ(stretches(make_segments({{run_of(20, 120, 0, {99})}, {}}, rule(tail_policy::output))),
              (std::vector<stretch>{{20, 104, false}, {104, 120, true}}));
    EXPECT_EQ(stretches(make_segments({{run_of(0, 100, 0, {40})}, {}}, rule(tail_policy::output))),
              (std::vector<stretch>{{0, 25, false}, {25, 41, true}, {41, 100, false}}));
}

TEST(make_segments, tail_prompt_uses_the_known_length) {
    EXPECT_EQ(stretches(make_segments({{run_of(0, 100, 200)}, {}}, rule(tail_policy::prompt, 500))),
              (std::vector<stretch>{{0, 100, false}}));
    EXPECT_EQ(stretches(make_segments({{run_of(0, 100, 200)}, {}}, rule(tail_policy::prompt, 310))),
              (std::vector<stretch>{{0, 94, false}, {94, 100, true}}));
}

TEST(make_segments, tail_prompt_without_a_fitting_length_is_tail_chunk) {
    const std::vector<stretch> chunk{{0, 84, false}, {84, 100, true}};
    EXPECT_EQ(stretches(make_segments({{run_of(0, 100, 200)}, {}}, rule(tail_policy::prompt))), chunk);
    EXPECT_EQ(stretches(make_segments({{run_of(0, 100, 200)}, {}}, rule(tail_policy::prompt, 299))), chunk)
        << "the run ends beyond the prompt";
    EXPECT_EQ(
        stretches(make_segments({{run_of(0, 100, 200), run_of(100, 101, 3)}, {}}, rule(tail_policy::prompt, 1000)))
            .front(),
        chunk.front())
        << "a second run: the length cannot be told apart";
}

TEST(make_segments, every_row_of_a_host_that_asks_for_all_logits_is_dense) {
    std::vector<int64_t> all(100);
    for (size_t i = 0; i < all.size(); ++i) {
        all[i] = static_cast<int64_t>(i);
    }
    for (const tail_policy tail : {tail_policy::prompt, tail_policy::chunk, tail_policy::output}) {
        EXPECT_EQ(stretches(make_segments({{run_of(0, 100, 0, all)}, {}}, rule(tail, 5000))),
                  (std::vector<stretch>{{0, 100, true}}));
    }
}

TEST(make_segments, cell_lists_and_masked_rows) {
    causal_run run = run_of(0, 100, 0);
    run.cells.assign(100, 0);
    const ubatch_runs found{
        {run}, {{.stream = 1, .row_begin = 3, .row_end = 9, .reason = mask_reason::no_inputs, .n_visible = 20}}};
    const std::vector<attention_segment> segments = make_segments(found, rule(tail_policy::chunk));
    ASSERT_EQ(segments.size(), 3u);
    EXPECT_EQ(segments[0].cells, found.runs[0].cells.data());
    EXPECT_EQ(segments[1].cells, found.runs[0].cells.data());
    EXPECT_EQ(segments[1].rank_begin, 84);
    EXPECT_TRUE(segments[2].masked);
    EXPECT_EQ(segments[2].batch, 1);
    EXPECT_EQ(segments[2].row_begin, 3);
    EXPECT_EQ(segments[2].row_end, 9);
}

TEST(count_pairs, sums_over_heads_and_keeps_dense_heads_apart) {
    const ubatch_runs found{{run_of(0, 100, 0)}, {}};
    const std::vector<attention_segment> segments = make_segments(found, rule(tail_policy::output));
    double kept = 0;
    for (int64_t i = 0; i < 100; ++i) {
        for (int64_t j = 0; j <= i; ++j) {
            kept += j < 4 || i - j < 32;
        }
    }
    const double all = 100 * 101 / 2;
    node_shape shape{
        .n_head = 6, .n_head_kv = 2, .n_kv = 128, .d_qk = 64, .d_v = 32, .n_dense_head = 0, .kv_bytes_per_elem = 2};
    pair_count pairs = count_pairs(found, segments, shape);
    EXPECT_EQ(pairs.kept, 6 * kept);
    EXPECT_EQ(pairs.skipped, 6 * (all - kept));
    EXPECT_EQ(pairs.masked, 0);
    EXPECT_EQ(pairs.flops, 6 * kept * 2 * 96);
    EXPECT_EQ(pairs.bytes, 100 * 96 * 2 * 2.0 + 100 * 96 * 6 * 4.0);

    shape.n_dense_head = 2;
    pairs = count_pairs(found, segments, shape);
    EXPECT_EQ(pairs.kept, 4 * kept + 2 * all);
    EXPECT_EQ(pairs.skipped, 4 * (all - kept));

    ubatch_runs masked = all_masked(1, 10, mask_reason::no_inputs);
    pairs = count_pairs(masked, make_segments(masked, {}), shape);
    EXPECT_EQ(pairs.kept + pairs.skipped, 0);
    EXPECT_EQ(pairs.masked, 10.0 * 128 * 6) << "all keys, where nobody looked";
    masked.masked[0].n_visible = 77;
    EXPECT_EQ(count_pairs(masked, make_segments(masked, {}), shape).masked, 77.0 * 6);
}

// Rows of two runs, the first of which ends at key 100, the second at key 150.
const ubatch_runs k_two_runs{{run_of(0, 100, 0), run_of(100, 150, 100)}, {}};

layer_heads dynamic_heads(std::vector<int64_t> min_tokens, bool banded) {
    layer_heads heads;
    heads.id = 1;
    heads.banded = banded;
    for (const int64_t least : min_tokens) {
        heads.rules.push_back({.selection = usual_rule(0), .min_tokens = least});
    }
    return heads;
}

std::vector<uint8_t> marks_of(const layer_heads & heads) {
    layer_rule of_heads = rule(tail_policy::chunk);
    of_heads.heads = &heads;
    return selected_marks(k_two_runs, make_segments(k_two_runs, of_heads), of_heads);
}

TEST(selected_marks, say_how_many_rules_are_in_force) {
    using marks = std::vector<uint8_t>;
    EXPECT_EQ(marks_of(dynamic_heads({0}, false)), (marks{1, 0, 1, 0})) << "the last rows are dense";
    EXPECT_EQ(marks_of(dynamic_heads({100}, false)), (marks{1, 0, 1, 0}));
    EXPECT_EQ(marks_of(dynamic_heads({101}, false)), (marks{0, 1, 0})) << "a run below is one dense stretch";
    EXPECT_EQ(marks_of(dynamic_heads({101}, true)), (marks{0, 0, 1, 0})) << "or two of the layer's triangle";
    EXPECT_EQ(marks_of(dynamic_heads({0, 120, 151}, false)), (marks{1, 0, 2, 0}));
    EXPECT_EQ(marks_of(dynamic_heads({151}, false)), marks{}) << "none";
    EXPECT_EQ(marks_of(dynamic_heads({}, true)), marks{});
}

TEST(make_segments, a_run_below_the_crossover_is_what_its_layer_is_without) {
    for (const bool banded : {false, true}) {
        const layer_heads heads = dynamic_heads({500}, banded);
        layer_rule of_heads = rule(tail_policy::chunk);
        of_heads.heads = &heads;
        const ubatch_runs found{{run_of(0, 100, 0)}, {}};
        EXPECT_EQ(
            stretches(make_segments(found, of_heads)),
            banded ? (std::vector<stretch>{{0, 84, false}, {84, 100, true}}) : (std::vector<stretch>{{0, 100, true}}));
        EXPECT_EQ(of_heads.treats(found.runs[0]), banded);
    }
}

TEST(unordered_rows, are_those_that_the_plan_would_have_thinned) {
    ubatch_runs found{{run_of(0, 100, 0)}, {}};
    found.runs[0].ordered = false;
    const auto n_rows = [&](const layer_heads & heads) {
        layer_rule of_heads = rule(tail_policy::chunk);
        of_heads.heads = &heads;
        return unordered_rows(found, of_heads);
    };
    EXPECT_GT(n_rows(dynamic_heads({}, true)), 0);
    EXPECT_GT(n_rows(dynamic_heads({100}, false)), 0);
    EXPECT_EQ(n_rows(dynamic_heads({101}, false)), 0) << "dense in any order";
}

TEST(layer_request, heads_of_one_group_that_differ_visit_their_own_blocks) {
    layer_heads heads = dynamic_heads({0, 0}, false);
    heads.rules[1].selection.values[0] = 3;
    const std::vector<uint8_t> marks{2};
    layer_rule of_heads = rule(tail_policy::chunk);
    of_heads.heads = &heads;
    const auto apart = [&](std::vector<int32_t> of_head) {
        heads.rule_of_head = std::move(of_head);
        const layer_request made(of_heads, marks, 2);
        EXPECT_EQ(made.request().heads_differ(), !heads.rule_of_head.empty());
        return made.request().per_query_head;
    };
    EXPECT_FALSE(apart({}));
    EXPECT_FALSE(apart({0, 0, 1, 1}));
    EXPECT_TRUE(apart({0, 1, 1, 1}));
    EXPECT_TRUE(apart({0, 0, 1, k_keeps_all}));
}

// Two rules, the second not in force for the first of two selected segments.
TEST(selected_node, counts_by_rule) {
    const std::vector<selection_rule> rules{usual_rule(0), selection_rule{0, {3}}};
    const std::vector<int32_t> of_head{0, 1, 0, k_keeps_band};
    const std::vector<uint8_t> marks{1, 0, 2};
    const selection_request request{.rule = rules[0],
                                    .selected = marks,
                                    .per_query_head = true,
                                    .heads = {.rules = rules, .of_head = of_head, .otherwise = k_keeps_all}};
    std::vector<attention_segment> segments(3);
    segments[0].row_end = 10;  // 55 pairs a head
    segments[2].row_end = 2;   // 2 rows of ranks 100 and 101: 203 pairs a head
    segments[2].rank_begin = 100;
    node_shape shape;
    shape.n_head = 4;
    shape.d_qk = shape.d_v = 8;
    const selected_node node(request, segments, shape);
    const std::vector<int64_t> kept{300, 150, 160};
    const std::vector<double> seconds{0.5, 0.25, 0};
    const selected_record record = node.record(kept, seconds);
    EXPECT_EQ(record.pairs.kept, 610);
    EXPECT_EQ(record.pairs.skipped, 4 * (55 + 203) - 610);
    EXPECT_EQ(record.pairs.flops, 610.0 * 32);
    ASSERT_EQ(record.rules.size(), 2u);
    EXPECT_EQ(record.rules[0].rule, "stride:stride=10");
    EXPECT_EQ(record.rules[0].counts.causal, 2 * (55 + 203));
    EXPECT_EQ(record.rules[0].counts.kept, 300);
    EXPECT_EQ(record.rules[0].counts.seconds, 0.5);
    EXPECT_EQ(record.rules[1].rule, "stride:stride=3");
    EXPECT_EQ(record.rules[1].counts.causal, 203);
    const selected_record all = node.record_of_all();
    EXPECT_EQ(all.pairs.skipped, 0);
    EXPECT_EQ(all.rules[0].counts.timed_nodes, 0);
}

}  // namespace
}  // namespace tmx::test
