// The kernel that is asked for by name is the one that runs. A kernel does not say who it is, but its sums do: vector
// widths and fused multiply-adds order and round them differently, so each instruction set leaves its own bits.
#include <gtest/gtest.h>
#include <hwy/targets.h>

#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "cases.h"
#include "problem.h"
#include "tested_kernels.h"

namespace tmx::test {
namespace {

test_case long_sums() {
    test_case c;
    c.name = "long_sums";
    c.n_q = c.n_kv = 300;
    c.d_qk = c.d_v = 128;
    case_segment segment;
    segment.rows.row_end = c.n_q;
    c.segments = {segment};
    return c;
}

// Output bytes of one call.
std::string bits_of(const char * kernel, precision arithmetic) {
    const test_case c = long_sums();
    const std::unique_ptr<problem> p = make_problem(c);
    const call_output output = make_output(c, *p);
    cpu_context ctx;
    ctx.kernel = kernel;
    ctx.arithmetic = arithmetic;
    const status result = attention_forward(output.args, p->segments, ctx);
    EXPECT_TRUE(result.ok()) << result.message();
    return {output.out.as<char>(), output.out.size()};
}

// avx512_bf16 is avx512 plus a fast form: its exact form is the very same function.
bool same_exact_form(std::string_view a, std::string_view b) {
    return a.substr(0, 6) == "avx512" && b.substr(0, 6) == "avx512";
}

TEST(forced_kernel, every_instruction_set_leaves_its_own_bits) {
    const std::vector<cpu_kernel_info> kernels = cpu_kernels();
    ASSERT_FALSE(kernels.empty());
    std::vector<std::string> bits;
    for (const cpu_kernel_info & kernel : kernels) {
        bits.push_back(bits_of(kernel.name, precision::exact));
        EXPECT_EQ(bits.back(), bits_of(kernel.name, precision::exact)) << kernel.name << " does not repeat itself";
    }
    for (size_t i = 0; i < kernels.size(); ++i) {
        for (size_t j = 0; j < i; ++j) {
            EXPECT_EQ(same_exact_form(kernels[i].name, kernels[j].name), bits[i] == bits[j])
                << kernels[i].name << " and " << kernels[j].name;
        }
    }
}

TEST(forced_kernel, first_kernel_is_the_default) {
    EXPECT_EQ(bits_of(nullptr, precision::exact), bits_of(cpu_kernels().front().name, precision::exact));
    for (const cpu_kernel_info & kernel : cpu_kernels()) {
        if (kernel.fast) {
            EXPECT_EQ(bits_of(nullptr, precision::fast), bits_of(kernel.name, precision::fast));
            break;
        }
    }
}

// What a 64-bit ARM without AES looks like to Highway (a Raspberry Pi 4), or an old x86, or a CPU it has no target for.
TEST(forced_kernel, a_cpu_on_which_highway_finds_nothing_has_one) {
    hwy::SetSupportedTargetsForTest(HWY_SCALAR);
    const std::vector<cpu_kernel_info> left = cpu_kernels();
    const std::string bits = bits_of(nullptr, precision::exact);
    hwy::SetSupportedTargetsForTest(0);
    ASSERT_FALSE(left.empty());
    EXPECT_EQ(left.back().name, std::string("portable"));
#if defined(__aarch64__)
    EXPECT_EQ(left.front().name, std::string("neon"));
#else
    EXPECT_EQ(left.size(), 1u) << "the others need what this CPU was said not to have";
#endif
    EXPECT_EQ(bits, bits_of(left.front().name, precision::exact));
}

TEST(forced_kernel, fast_is_not_exact) {
    for (const cpu_kernel_info & kernel : cpu_kernels()) {
        if (kernel.fast) {
            EXPECT_NE(bits_of(kernel.name, precision::exact), bits_of(kernel.name, precision::fast)) << kernel.name;
        }
    }
}

TEST(forced_kernel, the_one_in_the_environment_exists_here) {
    EXPECT_FALSE(tested_kernels().empty())
        << "TMX_TEST_KERNEL=" << std::getenv("TMX_TEST_KERNEL") << " names no kernel that this CPU runs";
}

TEST(forced_kernel, a_kernel_of_another_cpu_is_refused) {
    const char * foreign = "neon";
    for (const cpu_kernel_info & kernel : cpu_kernels()) {
        foreign = std::string_view(kernel.name) == "neon" ? "avx2" : foreign;
    }
    const test_case c = long_sums();
    const std::unique_ptr<problem> p = make_problem(c);
    const call_output output = make_output(c, *p);
    cpu_context ctx;
    ctx.kernel = foreign;
    const status result = attention_forward(output.args, p->segments, ctx);
    EXPECT_FALSE(result.ok());
    EXPECT_NE(std::string::npos, std::string(result.message()).find(foreign)) << result.message();
}

}  // namespace
}  // namespace tmx::test
