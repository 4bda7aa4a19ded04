#include "profile/probe_model.h"

#include <algorithm>
#include <array>
#include <cmath>

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

ggml_backend_holder open_cpu_backend(int32_t n_threads) {
    ggml_backend_holder backend(ggml_backend_init_by_type(GGML_BACKEND_DEVICE_TYPE_CPU, nullptr));
    if (backend == nullptr) {
        throw failure("no CPU backend of ggml is loaded");
    }
    ggml_backend_reg_t registry = ggml_backend_dev_backend_reg(ggml_backend_get_device(backend.get()));
    auto * address = ggml_backend_reg_get_proc_address(registry, "ggml_backend_set_n_threads");
    if (address != nullptr) {
        reinterpret_cast<ggml_backend_set_n_threads_t>(address)(backend.get(), n_threads);
    }
    return backend;
}

probe_model::probe_model(const model_file & file, probe_options options, ggml_backend_holder backend,
                         std::unique_ptr<probe_attention> attention)
    : file_(file),
      options_(std::move(options)),
      backend_(backend != nullptr ? std::move(backend) : open_cpu_backend(options_.n_threads)),
      weights_(file, backend_.get()),
      graphs_(file.shape(), weights_, backend_.get(), options_.rows_per_block),
      attention_(attention != nullptr ? std::move(attention) : make_cpu_probe_attention(options_.n_threads)) {}

void probe_model::report(double share) const {
    if (options_.stop != nullptr && options_.stop->load(std::memory_order_relaxed)) {
        throw interrupted();
    }
    if (options_.progress) {
        options_.progress(share);
    }
}

void probe_model::embed(std::span<const int32_t> tokens) {
    const probe_shape & s = shape();
    n_ = static_cast<int64_t>(tokens.size());
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
void probe_model::attend() {
    const row_segment all{{0, n_}, {}};
    attention_->forward({attention_shape(), q_.data(), k_.data(), v_.data(), out_.data(), lse_.data(), {&all, 1}});
}

void probe_model::forward(std::span<const int32_t> tokens) {
    embed(tokens);
    const int32_t n_layer = shape().n_layer;
    const double total = n_layer * (k_forward_cost + k_backward_cost);
    for (int32_t layer = 0; layer < n_layer; ++layer) {
        report(layer * k_forward_cost / total);
        const auto at = static_cast<size_t>(layer);
        weights_.load(layer, false);
        graphs_.before(n_, x_[at].data(), q_.data(), k_.data(), v_.data());
        attend();
        graphs_.after(n_, x_[at].data(), out_.data(), x_[at + 1].data());
    }
}

namespace {

// x / rms(x) * weight, in double.
std::vector<double> normalised(const float * x, const std::vector<float> & weight, double eps) {
    double sum = 0;
    for (size_t c = 0; c < weight.size(); ++c) {
        sum += static_cast<double>(x[c]) * static_cast<double>(x[c]);
    }
    const double factor = 1.0 / std::sqrt(sum / static_cast<double>(weight.size()) + eps);
    std::vector<double> result(weight.size());
    for (size_t c = 0; c < weight.size(); ++c) {
        result[c] = static_cast<double>(x[c]) * factor * static_cast<double>(weight[c]);
    }
    return result;
}

std::vector<float> vector_of(const file_tensor & tensor, int64_t row) {
    std::vector<float> values(static_cast<size_t>(tensor.n_cols));
    model_file::to_float(tensor, row, row + 1, values.data());
    return values;
}

const file_tensor & output_matrix(const model_file & file) {
    const file_tensor * own = file.find("output.weight");
    return own != nullptr ? *own : *file.find("token_embd.weight");
}

}  // namespace

// Logits behind the last row of x.
std::vector<float> probe_model::head(const std::vector<float> & x) {
    const probe_shape & s = shape();
    const std::vector<float> weight = vector_of(*file_.find("output_norm.weight"), 0);
    const std::vector<double> h = normalised(x.data() + (n_ - 1) * s.n_embd, weight, static_cast<double>(s.rms_eps));
    const file_tensor & matrix = output_matrix(file_);
    std::vector<float> logits(static_cast<size_t>(s.n_vocab));
    if (const file_tensor * bias = file_.find("output.bias")) {
        model_file::to_float(*bias, 0, 1, logits.data());
    }
    constexpr int64_t rows_at_once = 64;
#pragma omp parallel for schedule(static) num_threads(options_.n_threads)
    for (int64_t begin = 0; begin < s.n_vocab; begin += rows_at_once) {
        const int64_t end = std::min(begin + rows_at_once, s.n_vocab);
        std::vector<float> rows(static_cast<size_t>((end - begin) * s.n_embd));
        model_file::to_float(matrix, begin, end, rows.data());
        for (int64_t token = begin; token < end; ++token) {
            const float * row = rows.data() + (token - begin) * s.n_embd;
            double sum = 0;
            for (int64_t c = 0; c < s.n_embd; ++c) {
                sum += static_cast<double>(row[c]) * h[static_cast<size_t>(c)];
            }
            logits[static_cast<size_t>(token)] += static_cast<float>(sum);
        }
    }
    return logits;
}

std::vector<float> probe_model::logits(std::span<const int32_t> tokens) {
    forward(tokens);
    return head(x_.back());
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
    const std::vector<float> weight = vector_of(*file_.find("output_norm.weight"), 0);
    const std::vector<float> row = vector_of(output_matrix(file_), target);
    const float * x = x_.back().data() + (static_cast<size_t>(n_) - 1) * n_embd;
    // y = g . (x r) with g = row * weight, r = (mean(x x) + eps)^(-1/2):  dy/dx = r g - r^3 (g . x) x / n_embd
    double square = 0;
    double along = 0;
    for (size_t c = 0; c < n_embd; ++c) {
        square += static_cast<double>(x[c]) * static_cast<double>(x[c]);
        along += static_cast<double>(x[c]) * static_cast<double>(row[c]) * static_cast<double>(weight[c]);
    }
    const auto width = static_cast<double>(n_embd);
    const double r = 1.0 / std::sqrt(square / width + static_cast<double>(s.rms_eps));
    float * d = d_x_.data() + (static_cast<size_t>(n_) - 1) * n_embd;
    for (size_t c = 0; c < n_embd; ++c) {
        const double g = static_cast<double>(row[c]) * static_cast<double>(weight[c]);
        d[c] = static_cast<float>(r * g - r * r * r * along * static_cast<double>(x[c]) / width);
    }
}

// d_x_ from the layer's output to its input.
void probe_model::backward(int32_t layer, head_sums * sums) {
    const float * x = x_[static_cast<size_t>(layer)].data();
    weights_.load(layer, true);
    graphs_.before(n_, x, q_.data(), k_.data(), v_.data());
    attend();
    graphs_.after_back(n_, x, out_.data(), d_x_.data(), d_out_.data(), d_y_.data());
    attention_->backward({attention_shape(), q_.data(), k_.data(), v_.data(), out_.data(), lse_.data(), d_out_.data(),
                          dq_.data(), dk_.data(), dv_.data(), sums, options_.shape});
    graphs_.before_back(n_, x, dq_.data(), dk_.data(), dv_.data(), d_y_.data(), d_x_.data());
}

gradient_result probe_model::gradient(std::span<const int32_t> tokens, int32_t target) {
    const int32_t n_layer = shape().n_layer;
    forward(tokens);
    gradient_result result;
    result.logits = head(x_.back());
    result.target = target >= 0 ? target : argmax(result.logits);
    result.log_probability = log_softmax(result.logits)[static_cast<size_t>(result.target)];
    result.sums.resize(static_cast<size_t>(n_layer) * static_cast<size_t>(shape().n_head));
    result.n_pairs = section_pairs(options_.shape, n_);
    start_backward(result.target);
    const double total = n_layer * (k_forward_cost + k_backward_cost);
    for (int32_t layer = n_layer - 1; layer >= 0; --layer) {
        report((n_layer * k_forward_cost + (n_layer - 1 - layer) * k_backward_cost) / total);
        backward(layer, result.sums.data() + static_cast<size_t>(layer) * static_cast<size_t>(shape().n_head));
    }
    report(1);
    return result;
}

}  // namespace tmx
