// stock_product.h -- the rival: ggml's own MUL_MAT on its CPU backend, in this process, on the same data.
#pragma once

#include <ggml-backend.h>
#include <ggml.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace tmx::bench {

// [n_rows, depth] f32 times the transpose of [n_columns, depth] weights.
struct product_shape {
    int64_t depth = 0;
    int64_t n_columns = 0;
    int64_t n_rows = 0;

    double flops() const {
        return 2.0 * static_cast<double>(depth) * static_cast<double>(n_columns) * static_cast<double>(n_rows);
    }
};

class stock_product {
  public:
    // REQUIRES ggml's backends are loaded. Null: ggml has no CPU backend, or no memory.
    static std::unique_ptr<stock_product> create(const product_shape & shape, ggml_type type, int n_threads);
    ~stock_product();
    stock_product(const stock_product &) = delete;
    stock_product & operator=(const stock_product &) = delete;

    // Both rivals' operands, in ggml's memory; the caller fills them.
    std::span<uint8_t> weights();  // [n_columns, depth]
    std::span<float> rows();       // [n_rows, depth]

    bool run();
    std::span<const float> output() const;  // [n_rows, n_columns]

  private:
    struct state;
    explicit stock_product(std::unique_ptr<state> s);
    std::unique_ptr<state> state_;
};

}  // namespace tmx::bench
