// Every kernel and precision against the double-precision oracle, over the whole case list.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "cases.h"
#include "compare.h"
#include "oracle.h"
#include "plain.h"
#include "problem.h"
#include "tested_kernels.h"

namespace tmx::test {
namespace {

class conformance : public testing::TestWithParam<test_case> {
  protected:
    static void SetUpTestSuite() {
        std::printf("random cases: TMX_TEST_SEED=%llu\n", static_cast<unsigned long long>(test_seed()));
    }

    // How much of the bounds is used: shows a kernel that drifts towards them before it fails.
    static void TearDownTestSuite() {
        for (const auto & [label, used] : worst_use()) {
            std::printf("%-20s largest error is %.2f of its bound\n", label.c_str(), used);
        }
    }

    static void record(const tested_kernel & kernel, double used) {
        double & worst = worst_use()[kernel.label()];
        worst = std::max(worst, used);
    }

    static std::map<std::string, double> & worst_use() {
        static std::map<std::string, double> worst;
        return worst;
    }

    // One context a kernel for the whole run, so that scratch left by one shape meets the next.
    static cpu_context & context_of(const tested_kernel & kernel) {
        static std::map<std::string, std::unique_ptr<cpu_context>> contexts;
        std::unique_ptr<cpu_context> & context = contexts[kernel.label()];
        if (context == nullptr) {
            context = std::make_unique<cpu_context>();
            context->kernel = kernel.name;
            context->arithmetic = kernel.arithmetic;
            context->n_threads = 2;
        }
        return *context;
    }
};

TEST_P(conformance, matches_oracle) {
    const test_case & c = GetParam();
    std::unique_ptr<problem> p;
    call_output plain;
    call_output output;
    try {
        p = make_problem(c);
        plain = make_output(c, *p);
        output = make_output(c, *p);
    } catch (const std::bad_alloc &) {
        GTEST_SKIP() << "this machine maps no buffers of that size";
    }
    const std::vector<oracle_row> oracle = oracle_attention(p->args, p->segments, c.row_step);
    const std::vector<tested_kernel> kernels = tested_kernels();
    ASSERT_FALSE(kernels.empty()) << "TMX_TEST_KERNEL names no kernel that this CPU runs";
    for (const precision arithmetic : {precision::exact, precision::fast}) {
        plain_attention(plain.args, p->segments, arithmetic, c.row_step);
        for (const tested_kernel & kernel : kernels) {
            if (kernel.arithmetic != arithmetic) {
                continue;
            }
            output = make_output(c, *p);
            const status result = attention_forward(output.args, p->segments, context_of(kernel));
            ASSERT_TRUE(result.ok()) << kernel.label() << ": " << result.message();
            EXPECT_EQ("", check_written(c, *p, output)) << kernel.label() << "\n" << rerun_line(c, kernel.name);
            const comparison verdict = compare(oracle, plain.args, output.args, arithmetic);
            EXPECT_EQ("", verdict.failure) << kernel.label() << "\n" << rerun_line(c, kernel.name);
            record(kernel, verdict.used);
        }
    }
}

INSTANTIATE_TEST_SUITE_P(cases, conformance, testing::ValuesIn(all_cases()),
                         [](const auto & instance) { return instance.param.name; });

}  // namespace
}  // namespace tmx::test
