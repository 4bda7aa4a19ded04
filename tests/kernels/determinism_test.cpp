// Same bits for every thread count, on every run, and whatever a context computed before.
#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <vector>

#include "cases.h"
#include "problem.h"
#include "tested_kernels.h"

namespace tmx::test {
namespace {

bool same_bytes(const guarded_buffer & a, const guarded_buffer & b) {
    return a.size() == b.size() && (a.size() == 0 || std::memcmp(a.data(), b.data(), a.size()) == 0);
}

call_output run(const test_case & c, const problem & p, cpu_context & ctx) {
    call_output output = make_output(c, p);
    const status result = attention_forward(output.args, p.segments, ctx);
    EXPECT_TRUE(result.ok()) << result.message();
    return output;
}

class determinism : public testing::TestWithParam<test_case> {};

TEST_P(determinism, same_bits_for_any_thread_count) {
    const test_case & c = GetParam();
    const std::unique_ptr<problem> p = make_problem(c);
    for (const tested_kernel & kernel : tested_kernels()) {
        cpu_context reused;
        reused.kernel = kernel.name;
        reused.arithmetic = kernel.arithmetic;
        const call_output first = run(c, *p, reused);
        for (const int32_t n_threads : {1, 2, 3, 5, 2, 1}) {
            reused.n_threads = n_threads;
            const call_output again = run(c, *p, reused);
            EXPECT_TRUE(same_bytes(first.out, again.out)) << kernel.label() << ", " << n_threads << " threads";
            EXPECT_TRUE(same_bytes(first.lse, again.lse)) << kernel.label() << ", " << n_threads << " threads";
        }
    }
}

std::vector<test_case> chosen_cases() {
    return cases_named({"dense_213", "window_65_of_400", "server_ubatch", "three_streams", "cells_shuffled",
                        "options_7_masked", "masked_and_ranked_rows", "heads_7_of_1_rows_70", "random_3", "random_7"});
}

INSTANTIATE_TEST_SUITE_P(cases, determinism, testing::ValuesIn(chosen_cases()),
                         [](const auto & instance) { return instance.param.name; });

}  // namespace
}  // namespace tmx::test
