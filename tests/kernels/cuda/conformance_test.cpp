// The CUDA kernels against the double-precision oracle, over the same case list as the CPU kernels. What they do not
// cover they must decline, with an untouched output.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "cases.h"
#include "compare.h"
#include "device_problem.h"
#include "oracle.h"
#include "plain.h"
#include "problem.h"

namespace tmx::test {
namespace {

class cuda_conformance : public testing::TestWithParam<test_case> {
  protected:
    void SetUp() override {
        static const std::string missing = no_device();
        if (!missing.empty()) {
            GTEST_SKIP() << missing;
        }
    }

    static void TearDownTestSuite() {
        for (const auto & [label, used] : worst_use()) {
            std::printf("%-20s largest error is %.2f of its bound\n", label.c_str(), used);
        }
        std::printf("%d calls computed, %d declined\n", n_computed(), n_declined());
        contexts().clear();
    }

    static std::map<std::string, double> & worst_use() {
        static std::map<std::string, double> worst;
        return worst;
    }
    static int & n_computed() {
        static int n = 0;
        return n;
    }
    static int & n_declined() {
        static int n = 0;
        return n;
    }

    // One context a kernel for the whole run, so that scratch left by one shape meets the next. Null: cannot run here.
    static std::map<std::string, std::unique_ptr<cuda_context>> & contexts() {
        static std::map<std::string, std::unique_ptr<cuda_context>> all;
        return all;
    }
    static cuda_context * context_of(const char * kernel) {
        std::unique_ptr<cuda_context> & ctx = contexts()[kernel];
        if (ctx == nullptr) {
            EXPECT_TRUE(cuda_context::create(0, ctx).ok());
            if (!ctx->force_kernel(kernel).ok()) {
                ctx = nullptr;
            }
        }
        return ctx.get();
    }
};

// One call on the device; `output` gets what it wrote.
status run_on_device(const problem & p, cuda_context & ctx, call_output & output) {
    device_problem device(p, output);
    std::shared_ptr<cuda_work> work;
    if (status s = cuda_prepare(device.args, p.segments, {}, ctx, nullptr, work); !s.ok()) {
        return s;
    }
    if (status s = cuda_attention_forward(device.args, *work, ctx, nullptr); !s.ok()) {
        return s;
    }
    if (!device.fetch(output)) {
        return status::error(status_code::device_error, "memory beside an output was written");
    }
    return {};
}

bool covered(const problem & p) {
    return cuda_declines(p.args) == nullptr &&
           std::none_of(p.segments.begin(), p.segments.end(), [](const attention_segment & s) { return s.masked; });
}

TEST_P(cuda_conformance, matches_oracle) {
    const test_case & c = GetParam();
    if (c.q_layout == layout::huge) {
        GTEST_SKIP() << "more memory than a device has";
    }
    const std::unique_ptr<problem> p = make_problem(c);
    const char * only = std::getenv("TMX_TEST_KERNEL");
    std::vector<oracle_row> oracle;
    call_output plain = make_output(c, *p);
    const rounding operands = c.k_type == dtype::bf16 ? rounding::bf16 : rounding::f16;
    for (const char * kernel : {"sm90a", "sm80"}) {
        cuda_context * ctx = context_of(kernel);
        if (ctx == nullptr || (only != nullptr && *only != 0 && std::string_view(only) != kernel)) {
            continue;
        }
        call_output output = make_output(c, *p);
        const status result = run_on_device(*p, *ctx, output);
        if (!covered(*p)) {
            EXPECT_EQ(status_code::unsupported, result.code()) << kernel << ": " << result.message();
            ++n_declined();
            continue;
        }
        ASSERT_TRUE(result.ok()) << kernel << ": " << result.message();
        ++n_computed();
        if (oracle.empty()) {
            oracle = oracle_attention(p->args, p->segments, c.row_step);
            plain_attention(plain.args, p->segments, operands, c.row_step);
        }
        const std::string rerun = std::string("TMX_TEST_SEED=") + std::to_string(test_seed()) +
                                  " TMX_TEST_KERNEL=" + kernel + " bin/test_cuda_conformance --gtest_filter='*/" +
                                  c.name + "'";
        EXPECT_EQ("", check_written(c, *p, output)) << kernel << "\n" << rerun;
        const comparison verdict = compare(oracle, plain.args, output.args, operands);
        EXPECT_EQ("", verdict.failure) << kernel << "\n" << rerun;
        double & worst = worst_use()[std::string(kernel) + (operands == rounding::f16 ? " f16" : " bf16")];
        worst = std::max(worst, verdict.used);
    }
}

INSTANTIATE_TEST_SUITE_P(cases, cuda_conformance, testing::ValuesIn(all_cases()),
                         [](const auto & instance) { return instance.param.name; });

}  // namespace
}  // namespace tmx::test
