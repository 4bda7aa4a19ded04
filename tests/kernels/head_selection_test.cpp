// Heads that select by rules of their own, on the CPU: attention against the oracle with a mask a head, what is
// counted, and what is refused.
#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <vector>

#include "compare.h"
#include "head_selection.h"
#include "oracle.h"
#include "plain.h"
#include "tested_kernels.h"

namespace tmx::test {
namespace {

TEST(head_selection, attention_matches_a_mask_a_head) {
    for (const heads_case & each : heads_cases()) {
        const test_case & c = each.c;
        const heads_problem by_mask(each);
        const auto & [p, masks, plain, masked] = by_mask;
        const heads_request made(each);
        const std::vector<oracle_row> oracle = oracle_attention(plain.args, masked, 7);
        const std::vector<int64_t> expected = sums_of_masks(each, made.request(), masks);
        for (const tested_kernel & kernel : tested_kernels()) {
            plain_attention(plain.args, masked, kernel.arithmetic, 7);
            const call_output output = make_output(c, *p);
            std::vector<int64_t> kept(made.request().n_sums());
            std::vector<double> seconds(each.strides.size());
            const status result = selected_attention_forward(made.request(), output.args, p->segments,
                                                             context_of(kernel), kept.data(), seconds.data());
            ASSERT_TRUE(result.ok()) << each.name << ": " << result.message();
            EXPECT_EQ("", check_written(c, *p, output)) << each.name;
            EXPECT_EQ("", compare(oracle, plain.args, output.args, kernel.arithmetic).failure)
                << each.name << ", " << kernel.label();
            EXPECT_EQ(expected, kept) << each.name;
            EXPECT_GT(seconds[0], 0) << each.name;
        }
    }
}

// With every block selected, in whatever way, heads give the bits of dense attention.
TEST(head_selection, of_everything_gives_the_bits_of_dense) {
    heads_case each{"all", one_chunk(900, 200, k_no_band), {1, 1}, {0, 0, 1, 1}, k_keeps_all, 2, false};
    each.c.n_head = 4;
    each.c.n_head_kv = 2;
    test_case dense_case = each.c;
    dense_case.segments[0].rows.kept = {};
    const std::unique_ptr<problem> p = make_problem(dense_case);
    std::vector<attention_segment> selected = p->segments;
    selected[0].kept = k_no_band;
    for (const tested_kernel & kernel : tested_kernels()) {
        const call_output dense = make_output(each.c, *p);
        ASSERT_TRUE(attention_forward(dense.args, p->segments, context_of(kernel)).ok());
        for (const uint8_t mark : {uint8_t{1}, uint8_t{2}}) {  // in force, or dense because it is not
            each.mark = mark;
            const heads_request made(each);
            const call_output all = make_output(each.c, *p);
            ASSERT_TRUE(
                selected_attention_forward(made.request(), all.args, selected, context_of(kernel), nullptr).ok());
            EXPECT_EQ(0, std::memcmp(dense.out.data(), all.out.data(), dense.out.size())) << kernel.label();
        }
    }
}

// Rules of fine and of larger blocks, of methods that read queries and keys: each head keeps what its rule keeps where
// all heads have it.
TEST(head_selection, a_head_keeps_what_its_rule_keeps_alone) {
    test_case c = one_chunk(1900, 300, k_no_band);
    c.n_head = 6;
    c.n_head_kv = 2;
    const std::unique_ptr<problem> p = selection_problem(c);
    std::vector<selection_rule> rules;
    for (const char * name : {"means", "vertical_slash", "xattention"}) {
        rules.push_back(usual_rule(*find_selection_method(name)));
    }
    rules[1].values[0] = rules[1].values[1] = 100;
    const std::vector<int32_t> of_head{0, 1, 2, 2, k_keeps_all, 1};
    constexpr uint8_t k_all[] = {3};
    const selection_request mixed{.rule = rules[0],
                                  .selected = k_all,
                                  .per_query_head = true,
                                  .heads = {.rules = rules, .of_head = of_head, .otherwise = k_keeps_all}};
    EXPECT_EQ(k_fine_keys, block_keys_of(mixed));
    const tested_kernel kernel = tested_kernels()[0];
    const call_output output = make_output(c, *p);
    std::vector<int64_t> kept(mixed.n_sums());
    ASSERT_TRUE(selected_attention_forward(mixed, output.args, p->segments, context_of(kernel), kept.data()).ok());
    std::vector<int64_t> expected(mixed.n_sums());
    expected[3] = 300 * (1901 + 2200) / 2;
    for (size_t rule = 0; rule < rules.size(); ++rule) {
        block_bitmap bits({6, {1900, 2200}, block_keys_of(rules[rule])});
        ASSERT_TRUE(
            select_blocks(rules[rule], output.args, p->segments[0], 2, bits, {{}, kernel.arithmetic, kernel.name})
                .ok());
        for (size_t head = 0; head < 6; ++head) {
            if (of_head[head] != static_cast<int32_t>(rule)) {
                continue;
            }
            // Heads of a group with one rule share their blocks, unless the method says otherwise.
            block_bitmap one({1, bits.shape.ranks, bits.shape.block_keys});
            for (size_t other = head / 3 * 3; other < head / 3 * 3 + 3; ++other) {
                const bool shares = other == head || (of_head[other] == of_head[head] &&
                                                      !selection_method_of(rules[rule].method).per_query_head);
                for (int64_t word = 0; shares && word < bits.shape.n_tiles() * bits.shape.n_words(); ++word) {
                    one.of(0, 0)[word] |= bits.of(static_cast<int64_t>(other), 0)[word];
                }
            }
            expected[rule] += kept_pairs(one);
        }
    }
    EXPECT_EQ(expected, kept);
    EXPECT_EQ("", check_written(c, *p, output));
}

TEST(head_selection, refuses_what_breaks_the_contract) {
    heads_case good = heads_cases().front();
    const std::unique_ptr<problem> p = selection_problem(good.c);
    const call_output output = make_output(good.c, *p);
    const auto code = [&](const selection_request & request) {
        return selected_attention_forward(request, output.args, p->segments, context_of(tested_kernels()[0]), nullptr)
            .code();
    };
    const auto code_with = [&](auto change) {
        heads_case changed = good;
        change(changed);
        return code(heads_request(changed).request());
    };
    EXPECT_EQ(status_code::ok, code_with([](heads_case &) {}));
    const status_code bad = status_code::invalid_argument;
    EXPECT_EQ(bad, code_with([](heads_case & each) { each.of_head.pop_back(); }));
    EXPECT_EQ(bad, code_with([](heads_case & each) { each.of_head[1] = 2; }));
    EXPECT_EQ(bad, code_with([](heads_case & each) { each.of_head[1] = -3; }));
    EXPECT_EQ(bad, code_with([](heads_case & each) { each.otherwise = 0; }));
    EXPECT_EQ(bad, code_with([](heads_case & each) { each.mark = 3; }));
    EXPECT_EQ(bad, code_with([](heads_case & each) { each.strides[1] = 0; }));
    const heads_request made(good);
    selection_request no_rules = made.request();
    no_rules.heads.rules = {};
    EXPECT_EQ(bad, code(no_rules));
    EXPECT_EQ(std::nullopt, pairs_known_ahead(made.request(), output.args, p->segments));
}

}  // namespace
}  // namespace tmx::test
