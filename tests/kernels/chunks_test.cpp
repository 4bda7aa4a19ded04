// A prompt's result does not depend on how it was cut into segments and calls; a window that reaches every key is
// dense.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <random>
#include <vector>

#include "cases.h"
#include "compare.h"
#include "oracle.h"
#include "problem.h"
#include "tested_kernels.h"

namespace tmx::test {
namespace {

test_case prompt(int64_t n, const band & kept) {
    test_case c;
    c.name = "prompt";
    c.n_q = c.n_kv = n;
    c.d_qk = c.d_v = 32;
    case_segment segment;
    segment.rows.row_end = n;
    segment.rows.kept = kept;
    c.segments = {segment};
    return c;
}

attention_segment part_of(const attention_segment & whole, int64_t begin, int64_t end) {
    attention_segment part = whole;
    part.row_begin = begin;
    part.row_end = end;
    part.rank_begin = whole.rank_begin + begin - whole.row_begin;
    return part;
}

void configure(cpu_context & ctx, const tested_kernel & kernel) {
    ctx.kernel = kernel.name;
    ctx.arithmetic = kernel.arithmetic;
    ctx.n_threads = 2;
}

void run(const attention_args & args, const std::vector<attention_segment> & segments, cpu_context & ctx) {
    const status result = attention_forward(args, segments, ctx);
    ASSERT_TRUE(result.ok()) << result.message();
}

TEST(chunks, any_cut_gives_the_same_result) {
    std::mt19937_64 random(test_seed());
    for (const band & kept : {band{}, band{8, 50}, band{0, 130}}) {
        const test_case c = prompt(333, kept);
        const std::unique_ptr<problem> p = make_problem(c);
        const std::vector<oracle_row> oracle = oracle_attention(p->args, p->segments);
        for (const tested_kernel & kernel : tested_kernels()) {
            cpu_context ctx;
            configure(ctx, kernel);
            const call_output whole = make_output(c, *p);
            run(whole.args, p->segments, ctx);
            for (int trial = 0; trial < 4; ++trial) {
                std::vector<int64_t> cuts = {0, c.n_q};
                for (int i = 0; i < 1 + 3 * trial; ++i) {
                    cuts.push_back(static_cast<int64_t>(random() % static_cast<uint64_t>(c.n_q)));
                }
                std::sort(cuts.begin(), cuts.end());
                const call_output one_call = make_output(c, *p);
                const call_output many_calls = make_output(c, *p);
                std::vector<attention_segment> parts;
                for (size_t i = 0; i + 1 < cuts.size(); ++i) {
                    parts.push_back(part_of(p->segments[0], cuts[i], cuts[i + 1]));
                    attention_args args = many_calls.args;
                    args.n_kv = cuts[i + 1];  // as an engine sees it: later keys do not exist yet
                    run(args, {parts.back()}, ctx);
                }
                std::reverse(parts.begin(), parts.end());  // the order of segments does not matter either
                run(one_call.args, parts, ctx);
                EXPECT_EQ("", compare(oracle, whole.args, one_call.args, kernel.arithmetic).failure) << kernel.label();
                EXPECT_EQ("", compare(oracle, whole.args, many_calls.args, kernel.arithmetic).failure)
                    << kernel.label();
            }
        }
    }
}

TEST(chunks, window_past_every_rank_gives_the_bits_of_dense) {
    for (const int64_t n : {1, 17, 64, 65, 200, 300}) {
        const test_case c = prompt(n, {});
        const std::unique_ptr<problem> p = make_problem(c);
        for (const tested_kernel & kernel : tested_kernels()) {
            cpu_context ctx;
            configure(ctx, kernel);
            const call_output dense = make_output(c, *p);
            run(dense.args, p->segments, ctx);
            for (const band & kept : {band{0, n}, band{8, n}, band{8, n + 1}, band{n + 5, n + 1000}}) {
                std::vector<attention_segment> segments = p->segments;
                segments[0].kept = kept;
                const call_output banded = make_output(c, *p);
                run(banded.args, segments, ctx);
                EXPECT_EQ(0, std::memcmp(dense.out.data(), banded.out.data(), dense.out.size()))
                    << kernel.label() << ", " << n << " rows, sink " << kept.n_sink << ", window " << kept.n_window;
                EXPECT_EQ(0, std::memcmp(dense.lse.data(), banded.lse.data(), dense.lse.size())) << kernel.label();
            }
        }
    }
}

}  // namespace
}  // namespace tmx::test
