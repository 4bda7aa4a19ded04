// contest.h -- one product of one type of weights by everybody who can: stock ggml, our kernels and, if asked for,
// oneDNN, in turn in one process on the same data.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "../kernel/neighbours.h"
#include "stock_product.h"
#include "trianglemix/products.h"

namespace tmx::bench {

struct rival_types {
    const char * name;
    ggml_type stock;
    weight_type ours;
};
std::span<const rival_types> known_types();

struct contest_options {
    std::string kernel;                                                        // empty: the best of ours
    std::vector<product_arithmetic> arithmetics = {product_arithmetic::host};  // ours
    int n_threads = 2;
    int repeats = 5;
    bool onednn = false;
};

struct finish {
    std::string way;              // "stock", "ours", "ours bf16", "oneDNN f32", ...
    std::string version;          // ggml's, our kernel's name, the library's
    std::vector<double> seconds;  // of the repeats: the wall clock's, or with one thread the CPU's
    double creation_seconds = 0;  // of what is made once for a shape; 0: nothing is
    // Largest difference from stock's result as a share of its largest value; none where it would say nothing.
    std::optional<double> difference;
    double allowed_difference = 0;  // 0: any, since it is another arithmetic
    neighbours others;

    bool right() const { return !difference || allowed_difference == 0 || *difference <= allowed_difference; }
};

// Stock's first. Empty: somebody failed, and stderr says why. REQUIRES ggml's backends are loaded.
std::vector<finish> hold_contest(const rival_types & type, const product_shape & shape,
                                 const contest_options & options);

}  // namespace tmx::bench
