#include "backend/product_settings.h"

#include <algorithm>
#include <vector>

#include "backend/backend_config.h"

namespace tmx {
namespace {

product_kernel_info info_of(const std::string & kernel) {
    for (const product_kernel_info & info : product_kernels()) {
        if (kernel == info.name) {
            return info;
        }
    }
    return {"none", false, false};
}

// Integers where weights have more bits than bf16 keeps, or the kernel has no bf16.
product_arithmetic in_16_bits(const product_kernel_info & kernel, weight_type type) {
    const bool more_than_bf16 = type == weight_type::f16 || type == weight_type::f32;
    return more_than_bf16 || !kernel.bf16 ? product_arithmetic::i16 : product_arithmetic::bf16;
}

// The fastest way of one type, of those whose results the host or the precision of attention stands for.
product_rule fastest(const std::string & kernel, weight_type type, precision attention) {
    const int64_t in_i16 = product_least_rows(kernel, type, product_arithmetic::i16);
    if (attention == precision::fast && in_i16 != k_no_products) {
        return {in_i16, product_arithmetic::i16};
    }
    return {product_least_rows(kernel, type, product_arithmetic::host), product_arithmetic::host};
}

}  // namespace

int64_t product_rules::least_rows() const {
    int64_t least = k_no_products;
    for (const product_rule & rule : by_type) {
        least = std::min(least, rule.min_rows);
    }
    return least;
}

product_rules make_product_rules(const backend_config & config, precision attention) {
    product_rules rules;
    const std::string kernel = product_kernel(config.kernel);
    const product_kernel_info info = info_of(kernel);
    if (config.products == product_way::off || kernel == "none" ||
        (config.products == product_way::bf16 && !info.i16)) {
        return rules;
    }
    for (int i = 0; i < k_weight_types; ++i) {
        const auto type = static_cast<weight_type>(i);
        product_rule & rule = rules.by_type[static_cast<size_t>(i)];
        switch (config.products) {
            case product_way::off:
                break;
            case product_way::fastest:
                rule = fastest(kernel, type, attention);
                break;
            case product_way::host:
                rule = fastest(kernel, type, precision::exact);
                break;
            case product_way::f32:  // asked for because of their results, so whatever they cost
                rule = {k_default_min_rows, product_arithmetic::f32};
                break;
            case product_way::bf16:
                rule = {k_default_min_rows, in_16_bits(info, type)};
                break;
        }
        rule.min_rows = config.products_min_rows.value_or(rule.min_rows);
    }
    return rules;
}

std::string product_problem(const backend_config & config) {
    const bool asked = config.products != product_way::off && config.products != product_way::fastest;
    if (!asked || make_product_rules(config, precision::exact).take_any()) {
        return "";
    }
    std::string text = "TRIANGLEMIX_PRODUCTS: ";
    if (config.products == product_way::bf16) {
        text += "bf16 needs a CPU with AVX512-VNNI, and no other kernel forced, so products stay the host's";
        return text;
    }
    text += "kernel ";
    text += product_kernel(config.kernel);
    text +=
        " is not known to be faster than the host here, so products stay the host's; "
        "TRIANGLEMIX_PRODUCTS_MIN_ROWS sets a bound from which they are taken anyway";
    return text;
}

std::string product_kernel(const std::string & attention_kernel) {
    // AVX-512's best kernels differ in the instructions they add to it.
    const bool any_avx512 = attention_kernel == "avx512_bf16";
    for (const product_kernel_info & info : product_kernels()) {
        std::string name = info.name;
        if (attention_kernel.empty() || name == attention_kernel || (any_avx512 && name.starts_with("avx512"))) {
            return name;
        }
    }
    return "none";
}

}  // namespace tmx
