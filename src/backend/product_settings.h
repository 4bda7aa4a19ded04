// Whether prompts' matrix products are taken, from how many rows on, and by which kernel.
#pragma once

#include <cstdint>
#include <limits>
#include <string>

namespace tmx {

struct backend_config;

// No product has as many rows.
constexpr int64_t k_no_products = std::numeric_limits<int64_t>::max();

// Rows from which products are taken with these settings; k_no_products: none are.
int64_t product_min_rows(const backend_config & config);

// "" if what the settings ask for is done, else why no product is taken.
std::string product_problem(const backend_config & config);

// The products' kernel that goes with a forced kernel of attention: the same instruction set. "": the best there is.
// "none": there is none.
std::string product_kernel(const std::string & attention_kernel);

}  // namespace tmx
