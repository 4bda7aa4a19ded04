#include "backend/product_settings.h"

#include <vector>

#include "backend/backend_config.h"
#include "trianglemix/products.h"

namespace tmx {

int64_t product_min_rows(const backend_config & config) {
    if (config.products == product_way::off) {
        return k_no_products;
    }
    const std::string kernel = product_kernel(config.kernel);
    for (const product_kernel_info & info : product_kernels()) {
        if (kernel == info.name) {
            return config.products_min_rows.value_or(info.least_rows);
        }
    }
    return k_no_products;
}

std::string product_problem(const backend_config & config) {
    if (config.products == product_way::off || product_min_rows(config) != k_no_products) {
        return "";
    }
    std::string text = "TRIANGLEMIX_PRODUCTS: kernel ";
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
        const std::string name = info.name;
        if (attention_kernel.empty() || name == attention_kernel || (any_avx512 && name.starts_with("avx512"))) {
            return name;
        }
    }
    return "none";
}

}  // namespace tmx
