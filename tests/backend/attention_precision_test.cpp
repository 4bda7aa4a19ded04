// Which precision attention is computed with: the one asked for, but for fast where it would be slower.
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "backend/settings.h"
#include "trianglemix/attention.h"

namespace tmx::test {
namespace {

settings_snapshot asked(precision arithmetic, const std::string & kernel = "") {
    settings_snapshot snapshot;
    snapshot.arithmetic = arithmetic;
    snapshot.kernel = kernel;
    return snapshot;
}

TEST(attention_precision, exact_stays_exact) {
    EXPECT_EQ(attention_precision(asked(precision::exact)), precision::exact);
    EXPECT_EQ(precision_in_words(asked(precision::exact)), "exact");
}

TEST(attention_precision, fast_is_exact_where_fast_does_not_pay) {
    const std::vector<cpu_kernel_info> kernels = cpu_kernels();
    const bool slower =
        std::any_of(kernels.begin(), kernels.end(), [](const cpu_kernel_info & k) { return k.fast && !k.fast_pays; });
    EXPECT_EQ(attention_precision(asked(precision::fast)), slower ? precision::exact : precision::fast);
    EXPECT_EQ(precision_in_words(asked(precision::fast)),
              slower ? "fast (attention exact: faster on this CPU)" : "fast");
}

TEST(attention_precision, a_kernel_that_is_named_computes_as_asked) {
    for (const cpu_kernel_info & kernel : cpu_kernels()) {
        EXPECT_EQ(attention_precision(asked(precision::fast, kernel.name)), precision::fast) << kernel.name;
        EXPECT_FALSE(kernel.fast_pays && !kernel.fast) << kernel.name;
    }
}

}  // namespace
}  // namespace tmx::test
