#include "probe/probe_model.h"

#include <algorithm>
#include <cmath>

#include "probe/probe_device.h"
#include "runtime/failure.h"
#include "runtime/fidelity.h"

namespace tmx {
namespace {

// Shares of the work, for the progress line: a layer forward, and a layer forward and backward.
constexpr double k_forward_cost = 1;
constexpr double k_backward_cost = 3.5;

void resize(std::vector<float> & values, int64_t n) {
    values.resize(static_cast<size_t>(n));
}

}  // namespace

probe_model::probe_model(const model_file & file, probe_options options, ggml_backend_holder backend,
                         std::unique_ptr<probe_attention> attention)
    : file_(file),
      options_(std::move(options)),
      backend_(backend != nullptr ? std::move(backend) : open_cpu_backend(options_.n_threads)),
      weights_(file, backend_.get(), options_.n_threads),
      graphs_(std::make_unique<layer_graphs>(file.shape(), weights_, backend_.get(), options_.rows_per_block)),
      head_(file, options_.n_threads),
      attention_(attention != nullptr ? std::move(attention) : make_cpu_probe_attention(options_.n_threads)) {}

void probe_model::report(double share) const {
    if (options_.stop != nullptr && options_.stop->load(std::memory_order_relaxed)) {
        throw interrupted();
    }
    if (options_.progress) {
        options_.progress(share);
    }
}

// Blocks of equal size for n_ rows: the last one is filled up with zeros, which cost as much as rows.
void probe_model::fit_graphs() {
    constexpr int64_t multiple = 32;  // products of other numbers of rows leave tiles half empty
    const int64_t n_blocks = (n_ + options_.rows_per_block - 1) / options_.rows_per_block;
    const int64_t even = (n_ + n_blocks - 1) / n_blocks;
    const int64_t n_rows = std::min((even + multiple - 1) / multiple * multiple, options_.rows_per_block);
    if (graphs_->n_rows() != n_rows) {
        graphs_ = std::make_unique<layer_graphs>(shape(), weights_, backend_.get(), n_rows);
    }
}

void probe_model::embed(std::span<const int32_t> tokens) {
    const probe_shape & s = shape();
    n_ = static_cast<int64_t>(tokens.size());
    n_prompt_ = n_;
    fit_graphs();
    x_.resize(static_cast<size_t>(s.n_layer) + 1);
    for (std::vector<float> & x : x_) {
        resize(x, n_ * s.n_embd);
    }
    resize(q_, n_ * s.n_head * s.d_head);
    resize(out_, n_ * s.n_head * s.d_head);
    resize(k_, n_ * s.n_head_kv * s.d_head);
    resize(v_, n_ * s.n_head_kv * s.d_head);
    resize(lse_, n_ * s.n_head);
    const file_tensor & table = *file_.find("token_embd.weight");
    for (int64_t i = 0; i < n_; ++i) {
        const int64_t token = tokens[static_cast<size_t>(i)];
        if (token < 0 || token >= s.n_vocab) {
            throw failure("token " + std::to_string(token) + " is not in the vocabulary of " +
                          std::to_string(s.n_vocab));
        }
        model_file::to_float(table, token, token + 1, x_[0].data() + i * s.n_embd);
    }
}

probe_attention_shape probe_model::attention_shape() const {
    const probe_shape & s = shape();
    return {n_, s.n_head, s.n_head_kv, s.d_head, 1.0F / std::sqrt(static_cast<float>(s.d_head))};
}

// q_, k_, v_ to out_ and lse_.
void probe_model::attend(std::span<const row_segment> segments, const uint8_t * dense_head) {
    attention_->forward(
        {attention_shape(), q_.data(), k_.data(), v_.data(), out_.data(), lse_.data(), segments, dense_head});
}

// A layer's input to its output, which may be the same array.
void probe_model::compute(int32_t layer, const float * x, float * x_next, std::span<const row_segment> segments,
                          const uint8_t * dense_head) {
    weights_.load(layer, false);
    graphs_->before(n_, x, q_.data(), k_.data(), v_.data());
    attend(segments, dense_head);
    graphs_->after(n_, x, out_.data(), x_next);
}

// share: of the running call.
void probe_model::forward(std::span<const int32_t> tokens, double share) {
    embed(tokens);
    const row_segment dense{{0, n_}, {}};
    const int32_t n_layer = shape().n_layer;
    for (int32_t layer = 0; layer < n_layer; ++layer) {
        report(share * layer / n_layer);
        const auto at = static_cast<size_t>(layer);
        compute(layer, x_[at].data(), x_[at + 1].data(), {&dense, 1}, nullptr);
    }
}

// Behind the prompt's last token and those that follow. x: the last layer's output.
logit_rows probe_model::answer_rows(const std::vector<float> & x) const {
    return head_.logits(x.data() + (n_prompt_ - 1) * shape().n_embd, n_ - n_prompt_ + 1);
}

logit_rows probe_model::dense(std::span<const int32_t> prompt, std::span<const int32_t> continuation) {
    std::vector<int32_t> tokens(prompt.begin(), prompt.end());
    tokens.insert(tokens.end(), continuation.begin(), continuation.end());
    forward(tokens, 1);
    n_prompt_ = static_cast<int64_t>(prompt.size());
    return answer_rows(x_.back());
}

logit_rows probe_model::ablated(const unit & alone) {
    const std::vector<row_segment> triangle =
        resolve_segments(options_.shape, tail_policy::prompt, {{0, n_}, n_prompt_}, {});
    const row_segment dense{{0, n_}, {}};
    std::vector<uint8_t> dense_head;
    if (alone.head >= 0) {
        dense_head.assign(static_cast<size_t>(shape().n_head), 1);
        dense_head[static_cast<size_t>(alone.head)] = 0;
    }
    resize(x_ablated_, n_ * shape().n_embd);
    const int32_t n_layer = shape().n_layer;
    for (int32_t layer = alone.layer; layer < n_layer; ++layer) {
        report(static_cast<double>(layer - alone.layer) / (n_layer - alone.layer));
        if (layer == alone.layer) {
            compute(layer, x_[static_cast<size_t>(layer)].data(), x_ablated_.data(), triangle,
                    dense_head.empty() ? nullptr : dense_head.data());
        } else {
            compute(layer, x_ablated_.data(), x_ablated_.data(), {&dense, 1}, nullptr);
        }
    }
    return answer_rows(x_ablated_);
}

std::vector<float> probe_model::logits(std::span<const int32_t> tokens) {
    return dense(tokens, {}).front();
}

// d_x_: derivative of the target's logit by the last layer's output; only its last row is not zero.
void probe_model::start_backward(int32_t target) {
    const probe_shape & s = shape();
    const auto n_embd = static_cast<size_t>(s.n_embd);
    d_x_.assign(static_cast<size_t>(n_) * n_embd, 0.0F);
    resize(d_y_, n_ * s.n_embd);
    resize(d_out_, n_ * s.n_head * s.d_head);
    resize(dq_, n_ * s.n_head * s.d_head);
    resize(dk_, n_ * s.n_head_kv * s.d_head);
    resize(dv_, n_ * s.n_head_kv * s.d_head);
    const size_t last = (static_cast<size_t>(n_) - 1) * n_embd;
    head_.derivative(x_.back().data() + last, target, d_x_.data() + last);
}

// d_x_ from the layer's output to its input.
void probe_model::backward(int32_t layer, head_sums * sums) {
    const float * x = x_[static_cast<size_t>(layer)].data();
    weights_.load(layer, true);
    graphs_->before(n_, x, q_.data(), k_.data(), v_.data());
    const row_segment dense{{0, n_}, {}};
    attend({&dense, 1}, nullptr);
    graphs_->after_back(n_, x, out_.data(), d_x_.data(), d_out_.data(), d_y_.data());
    attention_->backward({attention_shape(), q_.data(), k_.data(), v_.data(), out_.data(), lse_.data(), d_out_.data(),
                          dq_.data(), dk_.data(), dv_.data(), sums, options_.shape});
    graphs_->before_back(n_, x, dq_.data(), dk_.data(), dv_.data(), d_y_.data(), d_x_.data());
}

gradient_result probe_model::gradient(std::span<const int32_t> tokens, int32_t target) {
    const int32_t n_layer = shape().n_layer;
    constexpr double forward_share = k_forward_cost / (k_forward_cost + k_backward_cost);
    forward(tokens, forward_share);
    gradient_result result;
    result.logits = answer_rows(x_.back()).front();
    result.target = target >= 0 ? target : argmax(result.logits);
    result.log_probability = log_softmax(result.logits)[static_cast<size_t>(result.target)];
    result.sums.resize(static_cast<size_t>(n_layer) * static_cast<size_t>(shape().n_head));
    result.n_pairs = section_pairs(options_.shape, n_);
    start_backward(result.target);
    for (int32_t layer = n_layer - 1; layer >= 0; --layer) {
        report(forward_share + (1 - forward_share) * (n_layer - 1 - layer) / n_layer);
        backward(layer, result.sums.data() + static_cast<size_t>(layer) * static_cast<size_t>(shape().n_head));
    }
    report(1);
    return result;
}

}  // namespace tmx
