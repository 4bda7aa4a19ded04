// Sums of weights along lines, against sums in double precision.
#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "line_oracle.h"
#include "problem.h"
#include "random_lists.h"
#include "tested_kernels.h"
#include "trianglemix/line_sums.h"

namespace tmx::test {
namespace {

std::vector<test_case> line_cases() {
    std::vector<test_case> cases;
    const auto add = [&](std::string name, test_case c, auto change) {
        c.name = std::move(name);
        c.n_head = 4;
        c.query_gain = 2;
        change(c);
        cases.push_back(std::move(c));
    };
    const auto as_is = [](test_case &) {};
    for (const int64_t rank_begin : {0, 1, 500, 1024}) {
        for (const int64_t n_rows : {1, 5, 64, 200}) {
            add(std::to_string(n_rows) + "_from_" + std::to_string(rank_begin), one_chunk(rank_begin, n_rows, {}),
                as_is);
        }
    }
    const test_case c = one_chunk(700, 90, {});
    add("bf16", c, [](test_case & each) { each.k_type = dtype::bf16; });
    add("f32", c, [](test_case & each) { each.k_type = dtype::f32; });
    add("q8_0", c, [](test_case & each) { each.k_type = dtype::q8_0; });
    add("q4_0", c, [](test_case & each) { each.k_type = dtype::q4_0; });
    add("d_64", c, [](test_case & each) { each.d_qk = each.d_v = 64; });
    add("d_256", c, [](test_case & each) { each.d_qk = each.d_v = 256; });
    add("cells", c, [](test_case & each) { each.segments[0].order = cell_order::shuffled; });
    add("seven_heads", c, [](test_case & each) { each.n_head = 7, each.n_head_kv = 1; });
    add("no_groups", c, [](test_case & each) { each.n_head = each.n_head_kv = 3; });
    add("softcap", c, [](test_case & each) { each.softcap = 3; });
    add("negative_scale", c, [](test_case & each) { each.scale_factor = -1; });
    add("keys_further_on", c, [](test_case & each) {
        each.n_kv += 77;
        each.segments[0].rows.key_begin = 33;
    });
    return without_most_if_reduced(std::move(cases));
}

std::vector<std::string> kernels() {
    std::set<std::string> names;  // once, whatever the arithmetic
    for (const tested_kernel & kernel : tested_kernels()) {
        names.insert(kernel.name);
    }
    return {names.begin(), names.end()};
}

void expect_near(const std::vector<double> & expected, std::span<const float> found, const std::string & what) {
    ASSERT_EQ(expected.size(), found.size()) << what;
    for (size_t i = 0; i < expected.size(); ++i) {
        const auto value = static_cast<double>(found[i]);
        ASSERT_LE(std::fabs(expected[i] - value), k_sum_error / 10 * expected[i] + 1e-12) << what << ", " << i;
    }
}

TEST(line_sums, are_those_of_every_pair) {
    for (const test_case & c : line_cases()) {
        const std::unique_ptr<problem> p = make_problem(c);
        const attention_segment & segment = p->segments[0];
        for (const int64_t n_rows : {64, 128}) {
            std::vector<true_sums> expected;
            for (int64_t head = 0; head < c.n_head; ++head) {
                const auto keys = decoded_keys(p->args, segment, head / (c.n_head / c.n_head_kv));
                expected.push_back(oracle_sums(p->args, segment, keys, head, n_rows));
            }
            for (const std::string & kernel : kernels()) {
                line_sums sums;
                ASSERT_TRUE(sum_lines(p->args, segment, n_rows, 2, sums, kernel.c_str()).ok());
                for (int64_t head = 0; head < c.n_head; ++head) {
                    const true_sums & each = expected[static_cast<size_t>(head)];
                    const std::string what = c.name + ", " + kernel + ", head " + std::to_string(head);
                    expect_near(each.vertical, sums.vertical_of(head), what + ", verticals");
                    expect_near(each.slash, sums.slash_of(head), what + ", slashes");
                }
            }
        }
    }
}

TEST(line_sums, have_the_same_bits_for_any_number_of_threads) {
    const std::unique_ptr<problem> p = make_problem(one_chunk(2500, 140, {}));
    line_sums one;
    ASSERT_TRUE(sum_lines(p->args, p->segments[0], 128, 1, one).ok());
    for (const int32_t n_threads : {2, 3, 7}) {
        line_sums many;
        ASSERT_TRUE(sum_lines(p->args, p->segments[0], 128, n_threads, many).ok());
        EXPECT_EQ(one.vertical, many.vertical);
        EXPECT_EQ(one.slash, many.slash);
    }
}

// The example of the paper's rule: weights of two rows by hand, made by keys whose only dimension is their logit.
TEST(line_sums, of_a_worked_example) {
    const double rows[2][6] = {{.5, .1, .1, .1, .2, 0}, {.4, .1, .1, .1, .1, .2}};
    constexpr double k_vertical[] = {.9, .2, .2, .2, .3, .2};
    constexpr double k_slash[] = {.4, .2, .2, .2, .6, .4};
    // Query 0 sees dimension 0 of the keys, query 1 dimension 1.
    constexpr int64_t k_dim = 64;
    std::vector<float> q(2 * k_dim);
    std::vector<float> k(6 * k_dim);
    q[0] = q[k_dim + 1] = 1;
    for (size_t key = 0; key < 6; ++key) {
        k[key * k_dim] = rows[0][key] > 0 ? static_cast<float>(std::log(rows[0][key])) : 0;
        k[key * k_dim + 1] = static_cast<float>(std::log(rows[1][key]));
    }
    attention_args args;
    args.q = q.data();
    args.k = k.data();
    args.k_type = args.v_type = dtype::f32;
    args.n_head = args.n_head_kv = 1;
    args.n_q = 2;
    args.n_kv = 6;
    args.d_qk = args.d_v = k_dim;
    args.q_stride_row = args.k_stride_row = k_dim;
    args.scale = 1;
    attention_segment segment;
    segment.row_end = 2;
    segment.rank_begin = 4;
    line_sums sums;
    ASSERT_TRUE(sum_lines(args, segment, 64, 1, sums).ok());
    for (size_t i = 0; i < 6; ++i) {
        EXPECT_NEAR(k_vertical[i] / 2, static_cast<double>(sums.vertical[i]), 1e-6) << i;
        EXPECT_NEAR(k_slash[i] / 2, static_cast<double>(sums.slash[i]), 1e-6) << i;
    }
}

TEST(line_sums, refuse_what_has_no_lines) {
    const std::unique_ptr<problem> p = make_problem(one_chunk(100, 50, {}));
    line_sums sums;
    attention_segment segment = p->segments[0];
    EXPECT_EQ(status_code::invalid_argument, sum_lines(p->args, segment, 0, 1, sums).code());
    EXPECT_EQ(status_code::invalid_argument, sum_lines(p->args, segment, 64, 0, sums).code());
    EXPECT_EQ(status_code::unsupported, sum_lines(p->args, segment, 64, 1, sums, "none").code());
    segment.masked = true;
    EXPECT_EQ(status_code::invalid_argument, sum_lines(p->args, segment, 64, 1, sums).code());
}

}  // namespace
}  // namespace tmx::test
