// onednn_product.h -- a library as rival: oneDNN's matmul, where CMake found one. Rows and weights come as f32 and are
// turned into the library's own layouts; rows at every call, weights at every call or once.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "stock_product.h"

namespace tmx::bench {

// u8s8 is the library's fastest form, for its rate only: there is no scale for a block, so it is no arithmetic of
// ggml's, and values are rounded to integers as they come.
enum class onednn_arithmetic : uint8_t { f32, bf16, u8s8 };

class onednn_product {
  public:
    // "2.6.3"; empty: this build has no oneDNN.
    static std::string version();

    // REQUIRES weights [n_columns, depth], rows [n_rows, depth], which stay. Null: no oneDNN, or it does not do that.
    static std::unique_ptr<onednn_product> create(const product_shape & shape, onednn_arithmetic arithmetic,
                                                  std::span<const float> weights, std::span<const float> rows,
                                                  int n_threads);
    ~onednn_product();
    onednn_product(const onednn_product &) = delete;
    onednn_product & operator=(const onednn_product &) = delete;

    double creation_seconds() const;  // the primitive's: code is generated
    bool run(bool turn_weights);
    std::span<const float> output() const;  // [n_rows, n_columns]

  private:
    struct state;
    explicit onednn_product(std::unique_ptr<state> s);
    std::unique_ptr<state> state_;
};

}  // namespace tmx::bench
