// profile/probe_model.h -- a whole Llama-family model in f32: forward over a prompt, densely or with some layers
// triangle, and the exact reverse pass of one logit.
//
// Memory: every layer's input is kept, everything else is made again layer by layer, so it grows with the number of
// tokens: about 4 * (n_layer * n_embd + 10 * n_head * d_head + 2 * pieces * d_head) bytes a token, and one layer's
// weights twice.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "profile/layer_graphs.h"
#include "profile/layer_weights.h"
#include "profile/model_file.h"
#include "profile/probe_attention.h"
#include "trianglemix/geometry.h"

namespace tmx {

struct probe_options {
    int32_t n_threads = 1;
    int64_t rows_per_block = 512;  // of the graphs between attentions
    triangle_shape shape;
    const std::atomic<bool> * stop = nullptr;    // becomes true: the running call throws `interrupted`
    std::function<void(double share)> progress;  // share of the running call that is done; may be empty
};

// y = logit of `target` behind the prompt's last token.
struct gradient_result {
    int32_t target = 0;
    double log_probability = 0;        // of the target
    std::vector<float> logits;         // behind the last token
    std::vector<head_sums> sums;       // [n_layer * n_head]
    std::array<int64_t, 3> n_pairs{};  // of each section, the same for every head
};

// REQUIRES the file to outlive it. `backend`, `attention`: where the graphs between attentions and attention itself are
//          computed; null: on the CPU, for which a ggml CPU backend must be loaded.
// ERRORS   failure, interrupted, std::bad_alloc.
// NUMERICS f32; the same bits on every run with the same number of threads.
// THREADS  One call at a time.
class probe_model {
  public:
    probe_model(const model_file & file, probe_options options, ggml_backend_holder backend = nullptr,
                std::unique_ptr<probe_attention> attention = nullptr);

    // target < 0: the token that the model itself would generate first. REQUIRES at least one token, each of the
    // vocabulary.
    gradient_result gradient(std::span<const int32_t> tokens, int32_t target = -1);

    // Logits behind the last token; dense.
    std::vector<float> logits(std::span<const int32_t> tokens);

    const probe_shape & shape() const { return file_.shape(); }

  private:
    const model_file & file_;
    probe_options options_;
    ggml_backend_holder backend_;
    layer_weights weights_;
    layer_graphs graphs_;
    std::unique_ptr<probe_attention> attention_;
    int64_t n_ = 0;
    std::vector<std::vector<float>> x_;  // [n_layer + 1][n, n_embd]: inputs of the layers, then the last one's output
    std::vector<float> q_, k_, v_, out_, lse_;
    std::vector<float> d_x_, d_y_, d_out_, dq_, dk_, dv_;

    void embed(std::span<const int32_t> tokens);
    void forward(std::span<const int32_t> tokens);
    probe_attention_shape attention_shape() const;
    void attend();
    std::vector<float> head(const std::vector<float> & x);
    void start_backward(int32_t target);
    void backward(int32_t layer, head_sums * sums);
    void report(double share) const;
};

// A ggml backend of this process that computes on the CPU with that many threads. ERRORS failure: none is loaded.
ggml_backend_holder open_cpu_backend(int32_t n_threads);

}  // namespace tmx
