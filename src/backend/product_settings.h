// Which of a prompt's matrix products are taken, from how many rows on, in which arithmetic, and by which kernel.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <string>

#include "trianglemix/attention.h"
#include "trianglemix/products.h"

namespace tmx {

struct backend_config;

// No product has as many rows.
constexpr int64_t k_no_products = std::numeric_limits<int64_t>::max();

struct product_rule {
    int64_t min_rows = k_no_products;
    product_arithmetic arithmetic = product_arithmetic::host;
};

// By type of weights.
struct product_rules {
    std::array<product_rule, k_weight_types> by_type;

    const product_rule & of(weight_type type) const { return by_type[static_cast<size_t>(type)]; }
    bool take_any() const { return least_rows() != k_no_products; }
    int64_t least_rows() const;  // of the type that is taken from the fewest rows on
};

product_rules make_product_rules(const backend_config & config, precision attention);

// "" if what the settings ask for is done, else why no product is taken.
std::string product_problem(const backend_config & config);

// The products' kernel that goes with a forced kernel of attention: the same instruction set. "": the best there is.
// "none": there is none.
std::string product_kernel(const std::string & attention_kernel);

}  // namespace tmx
