// Skipped tiles on the CPU: what must be skipped is not read, what must not be is there, and the rest lies within what
// the left out weights allow.
#include <gtest/gtest.h>

#include <cstring>
#include <memory>

#include "compare.h"
#include "skip_cases.h"
#include "tested_kernels.h"

namespace tmx::test {
namespace {

struct outcome {
    call_output output;
    skip_counts counts;
};

outcome run(const skip_case & s, const problem & p, const skip_oracle & oracle, const tested_kernel & kernel,
            int n_threads) {
    outcome made{make_output(s.c, p), {}};
    cpu_context context;
    context.kernel = kernel.name;
    context.arithmetic = kernel.arithmetic;
    context.n_threads = n_threads;
    made.output.args.skip_factor = s.factor;
    made.output.args.skips = &made.counts;
    const status result = attention_forward(made.output.args, p.segments, context, oracle.lists());
    EXPECT_TRUE(result.ok()) << s.name << ": " << result.message();
    return made;
}

TEST(skip, leaves_out_what_it_must_and_nothing_else) {
    for (const skip_case & s : skip_cases()) {
        const std::unique_ptr<problem> p = make_problem(s.c);
        const skip_oracle oracle(s, *p);
        call_output plain = make_output(s.c, *p);
        for (const tested_kernel & kernel : tested_kernels()) {
            const outcome made = run(s, *p, oracle, kernel, 2);
            EXPECT_EQ("", check_written(s.c, *p, made.output)) << s.name << ", " << kernel.label();
            EXPECT_EQ("", oracle.check(made.output.args, plain, rounding_of(kernel.arithmetic)))
                << s.name << ", " << kernel.label();
            EXPECT_GT(made.counts.visited, made.counts.skipped) << s.name;
            EXPECT_EQ(s.name != "factor_beyond_all_keys" && s.name != "tiny_factor", made.counts.skipped > 0)
                << s.name << ", " << kernel.label();
        }
    }
}

TEST(skip, same_bits_for_any_number_of_threads) {
    const skip_case s = random_case("random_keys", 100);
    const std::unique_ptr<problem> p = make_problem(s.c);
    const skip_oracle oracle(s, *p);
    for (const tested_kernel & kernel : tested_kernels()) {
        const outcome one = run(s, *p, oracle, kernel, 1);
        for (const int n_threads : {1, 2, 5}) {
            const outcome other = run(s, *p, oracle, kernel, n_threads);
            EXPECT_EQ(0, std::memcmp(one.output.out.data(), other.output.out.data(), one.output.out.size()));
            EXPECT_EQ(one.counts.visited, other.counts.visited) << kernel.label();
            EXPECT_EQ(one.counts.skipped, other.counts.skipped) << kernel.label();
        }
    }
}

// A masked segment's rows have no ranks: nothing is left out.
TEST(skip, does_not_touch_masked_segments) {
    const skip_case s = random_case("random_keys", 100);
    const std::unique_ptr<problem> p = make_problem(s.c);
    std::vector<attention_segment> masked = p->segments;
    masked[0].masked = true;
    const std::vector<uint16_t> mask(static_cast<size_t>(s.c.n_kv), 0);
    std::vector<call_output> outputs;
    skip_counts counts;
    for (const float factor : {0.0f, s.factor}) {
        outputs.push_back(make_output(s.c, *p));
        attention_args & args = outputs.back().args;
        args.mask = mask.data();
        args.skip_factor = factor;
        args.skips = &counts;
        cpu_context context;
        ASSERT_TRUE(attention_forward(args, masked, context).ok());
    }
    EXPECT_EQ(0, std::memcmp(outputs[0].out.data(), outputs[1].out.data(), outputs[0].out.size()));
    EXPECT_EQ(0, counts.skipped);
}

// Without a factor nothing is counted, and every tile is visited in the order it always was.
TEST(skip, factor_0_is_off) {
    const skip_case s = random_case("random_keys", 0);
    const std::unique_ptr<problem> p = make_problem(s.c);
    const call_output usual = make_output(s.c, *p);
    cpu_context context;
    ASSERT_TRUE(attention_forward(usual.args, p->segments, context).ok());
    call_output off = make_output(s.c, *p);
    skip_counts counts;
    off.args.skips = &counts;
    ASSERT_TRUE(attention_forward(off.args, p->segments, context).ok());
    EXPECT_EQ(0, std::memcmp(usual.out.data(), off.out.data(), usual.out.size()));
    EXPECT_EQ(0, counts.visited);
}

TEST(skip, bad_factors_are_refused) {
    const skip_case s = random_case("random_keys", 0);
    const std::unique_ptr<problem> p = make_problem(s.c);
    call_output output = make_output(s.c, *p);
    for (const float bad : {-1.0f, std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
        output.args.skip_factor = bad;
        cpu_context context;
        EXPECT_EQ(status_code::invalid_argument, attention_forward(output.args, p->segments, context).code()) << bad;
    }
}

}  // namespace
}  // namespace tmx::test
