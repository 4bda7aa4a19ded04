// stock.h -- the rival: llama.cpp's own FLASH_ATTN_EXT on ggml's CPU backend, in this process, on the same data.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "layer.h"

namespace tmx::bench {

class stock_layer {
  public:
    // Loads ggml's backends from `folder` and builds one graph for each `ubatch` rows (0: the whole prompt in one),
    // with the causal F16 mask and the padded key count that llama.cpp would send. Null, and `error` set: ggml cannot.
    static std::unique_ptr<stock_layer> create(const std::string & folder, layer_data & data, int64_t ubatch,
                                               int n_threads, std::string & error);
    ~stock_layer();
    stock_layer(const stock_layer &) = delete;
    stock_layer & operator=(const stock_layer &) = delete;

    // Runs every graph; returns the seconds spent in them (masks are filled outside, as a host fills them once for all
    // its layers), or a negative number if ggml failed.
    double run();

    std::span<const float> output() const;  // [n, n_head, dim]

    static std::string version();  // of the ggml that was loaded

  private:
    struct state;
    explicit stock_layer(std::unique_ptr<state> s);
    std::unique_ptr<state> state_;
};

}  // namespace tmx::bench
