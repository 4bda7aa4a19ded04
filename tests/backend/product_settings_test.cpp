// Which products are taken, by what is asked for, the precision and the kernel.
#include "backend/product_settings.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string_view>
#include <vector>

#include "backend/backend_config.h"
#include "backend/settings.h"

namespace tmx::test {
namespace {

product_rules rules_of(product_way way, precision attention = precision::exact) {
    backend_config config;
    config.products = way;
    return make_product_rules(config, attention);
}

const product_kernel_info * kernel_named(const char * name) {
    static const std::vector<product_kernel_info> kernels = product_kernels();
    const auto found = std::ranges::find(kernels, std::string_view(name), &product_kernel_info::name);
    return found == kernels.end() ? nullptr : &*found;
}

bool best_kernel_has_i16() {
    return product_kernels().front().i16;
}

TEST(product_settings, off_takes_none) {
    EXPECT_FALSE(rules_of(product_way::off).take_any());
    EXPECT_FALSE(product_rules().take_any());
}

TEST(product_settings, f32_takes_every_type) {
    for (const product_rule & rule : rules_of(product_way::f32).by_type) {
        EXPECT_EQ(rule.min_rows, k_default_min_rows);
        EXPECT_EQ(rule.arithmetic, product_arithmetic::f32);
    }
}

TEST(product_settings, exact_precision_never_leaves_the_hosts_arithmetic) {
    for (const product_way way : {product_way::fastest, product_way::host}) {
        for (const product_rule & rule : rules_of(way).by_type) {
            EXPECT_EQ(rule.arithmetic, product_arithmetic::host);
        }
    }
}

TEST(product_settings, bf16_takes_integers_where_weights_have_more_bits) {
    if (kernel_named("avx512_bf16") == nullptr) {
        GTEST_SKIP() << "this CPU has no AVX512-BF16";
    }
    const product_rules rules = rules_of(product_way::bf16);
    for (int i = 0; i < k_weight_types; ++i) {
        const auto type = static_cast<weight_type>(i);
        const bool more_bits = type == weight_type::f16 || type == weight_type::f32;
        EXPECT_EQ(rules.of(type).arithmetic, more_bits ? product_arithmetic::i16 : product_arithmetic::bf16);
        EXPECT_EQ(rules.of(type).min_rows, k_default_min_rows);
    }
}

TEST(product_settings, bf16_takes_integers_where_the_kernel_has_no_bf16) {
    if (kernel_named("avx512_vnni") == nullptr) {
        GTEST_SKIP() << "this CPU has no AVX512-VNNI";
    }
    backend_config config;
    config.products = product_way::bf16;
    config.kernel = "avx512_vnni";
    for (const product_rule & rule : make_product_rules(config, precision::exact).by_type) {
        EXPECT_EQ(rule.arithmetic, product_arithmetic::i16);
        EXPECT_EQ(rule.min_rows, k_default_min_rows);
    }
}

TEST(product_settings, bf16_needs_a_kernel_that_multiplies_16_bits) {
    EXPECT_EQ(rules_of(product_way::bf16).take_any(), best_kernel_has_i16());
    backend_config config;
    config.products = product_way::bf16;
    config.kernel = "portable";
    EXPECT_FALSE(make_product_rules(config, precision::fast).take_any());
    EXPECT_NE(product_problem(config).find("AVX512-VNNI"), std::string::npos);
    config.products = product_way::fastest;
    EXPECT_EQ(product_problem(config), "") << "nothing was asked for";
    config.products = product_way::host;
    EXPECT_NE(product_problem(config).find("portable is not known to be faster"), std::string::npos);
    config.products_min_rows = 3;
    EXPECT_EQ(product_problem(config), "");
    EXPECT_EQ(make_product_rules(config, precision::exact).of(weight_type::q4_k).min_rows, 3);
}

TEST(product_settings, fast_precision_takes_integers_of_16_bits_where_they_are_faster) {
    if (!best_kernel_has_i16()) {
        GTEST_SKIP() << "this CPU has no AVX512-VNNI";
    }
    const product_rules rules = rules_of(product_way::fastest, precision::fast);
    EXPECT_EQ(rules.of(weight_type::f16).arithmetic, product_arithmetic::i16);
    EXPECT_EQ(rules.of(weight_type::q8_0).arithmetic, product_arithmetic::host);
    settings current;
    current.apply(backend_config());
    EXPECT_EQ(current.products().of(weight_type::f16).arithmetic, product_arithmetic::host);
    ASSERT_EQ(current.set_precision("fast"), "");
    EXPECT_EQ(current.products().of(weight_type::f16).arithmetic, product_arithmetic::i16);
    EXPECT_EQ(settings(current).products().of(weight_type::f16).arithmetic, product_arithmetic::i16);
    ASSERT_EQ(current.set_precision(""), "");
    EXPECT_EQ(current.products().of(weight_type::f16).arithmetic, product_arithmetic::host);
}

}  // namespace
}  // namespace tmx::test
