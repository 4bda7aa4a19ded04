// probe/probe_model.h -- a whole Llama-family model in f32: forward over a prompt, densely or with one layer or head
// triangle, and the exact reverse pass of one logit.
//
// Memory: every layer's input is kept, everything else is made again layer by layer. That is about
// 4 * (n_layer * n_embd + 10 * n_head * d_head + 2 * pieces * d_head) bytes a token, and one layer's weights twice.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "probe/layer_graphs.h"
#include "probe/layer_weights.h"
#include "probe/model_file.h"
#include "probe/output_head.h"
#include "probe/probe_attention.h"
#include "probe/unit.h"
#include "trianglemix/geometry.h"

namespace tmx {

struct probe_options {
    int32_t n_threads = 1;
    int64_t rows_per_block = 512;  // most of the graphs between attentions
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
//          computed; null: on the CPU, for which a ggml CPU backend must be loaded. At least one token in each call,
//          all of the vocabulary.
// ERRORS   failure, interrupted, std::bad_alloc.
// NUMERICS f32; the same bits on every run with the same number of threads.
// THREADS  One call at a time.
class probe_model {
  public:
    probe_model(const model_file & file, probe_options options, ggml_backend_holder backend = nullptr,
                std::unique_ptr<probe_attention> attention = nullptr);

    // target < 0: the token that the model itself would generate first.
    gradient_result gradient(std::span<const int32_t> tokens, int32_t target = -1);

    // Logits behind the last token; dense.
    std::vector<float> logits(std::span<const int32_t> tokens);

    // Logits behind the prompt and behind each token of its continuation; dense.
    logit_rows dense(std::span<const int32_t> prompt, std::span<const int32_t> continuation);

    // The rows of the last dense() again, with this unit alone triangle in the prompt. The continuation attends densely
    // whatever the unit, as decoding does. COST the layers from the unit's own upwards.
    logit_rows ablated(const unit & alone);

    const probe_shape & shape() const { return file_.shape(); }

    // For the calls that follow.
    void set_progress(std::function<void(double share)> progress) { options_.progress = std::move(progress); }

  private:
    const model_file & file_;
    probe_options options_;
    ggml_backend_holder backend_;
    layer_weights weights_;
    std::unique_ptr<layer_graphs> graphs_;
    output_head head_;
    std::unique_ptr<probe_attention> attention_;
    int64_t n_ = 0;                      // tokens
    int64_t n_prompt_ = 0;               // those before the continuation
    std::vector<std::vector<float>> x_;  // [n_layer + 1][n, n_embd]: inputs of the layers, then the last one's output
    std::vector<float> x_ablated_;       // [n, n_embd]: of the layer that ablated() has come to
    std::vector<float> q_, k_, v_, out_, lse_;
    std::vector<float> d_x_, d_y_, d_out_, dq_, dk_, dv_;

    void fit_graphs();
    void embed(std::span<const int32_t> tokens);
    void forward(std::span<const int32_t> tokens, double share);
    void compute(int32_t layer, const float * x, float * x_next, std::span<const row_segment> segments,
                 const uint8_t * dense_head);
    probe_attention_shape attention_shape() const;
    void attend(std::span<const row_segment> segments, const uint8_t * dense_head);
    logit_rows answer_rows(const std::vector<float> & x) const;
    void start_backward(int32_t target);
    void backward(int32_t layer, head_sums * sums);
    void report(double share) const;
};

}  // namespace tmx
