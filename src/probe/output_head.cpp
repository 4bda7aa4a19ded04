#include "probe/output_head.h"

#include <algorithm>
#include <cmath>

namespace tmx {
namespace {

// Vocabulary rows turned into f32 at a time: a few hundred kilobytes.
constexpr int64_t k_tokens_at_once = 64;

const file_tensor & output_matrix(const model_file & file) {
    const file_tensor * own = file.find("output.weight");
    return own != nullptr ? *own : *file.find("token_embd.weight");
}

std::vector<float> row_of(const file_tensor & tensor, int64_t row) {
    std::vector<float> values(static_cast<size_t>(tensor.n_cols));
    model_file::to_float(tensor, row, row + 1, values.data());
    return values;
}

}  // namespace

output_head::output_head(const model_file & file, int32_t n_threads)
    : file_(file),
      n_threads_(n_threads),
      matrix_(output_matrix(file)),
      norm_(row_of(*file.find("output_norm.weight"), 0)) {}

double output_head::inverse_rms(const float * x) const {
    double square = 0;
    for (size_t c = 0; c < norm_.size(); ++c) {
        square += static_cast<double>(x[c]) * static_cast<double>(x[c]);
    }
    const auto width = static_cast<double>(norm_.size());
    return 1.0 / std::sqrt(square / width + static_cast<double>(file_.shape().rms_eps));
}

logit_rows output_head::logits(const float * x, int64_t n_rows) const {
    const int64_t n_embd = file_.shape().n_embd;
    const int64_t n_vocab = file_.shape().n_vocab;
    const auto width = static_cast<size_t>(n_rows);
    // [n_embd, n_rows]: the innermost loop below runs over rows, whose sums do not depend on each other.
    std::vector<double> h(static_cast<size_t>(n_embd) * width);
    for (int64_t r = 0; r < n_rows; ++r) {
        const float * row = x + r * n_embd;
        const double factor = inverse_rms(row);
        for (int64_t c = 0; c < n_embd; ++c) {
            h[static_cast<size_t>(c * n_rows + r)] =
                static_cast<double>(row[c]) * factor * static_cast<double>(norm_[static_cast<size_t>(c)]);
        }
    }
    std::vector<float> bias(static_cast<size_t>(n_vocab));
    if (const file_tensor * found = file_.find("output.bias")) {
        model_file::to_float(*found, 0, 1, bias.data());
    }
    logit_rows rows(width, bias);
#pragma omp parallel for schedule(static) num_threads(n_threads_)
    for (int64_t begin = 0; begin < n_vocab; begin += k_tokens_at_once) {
        const int64_t end = std::min(begin + k_tokens_at_once, n_vocab);
        std::vector<float> block(static_cast<size_t>((end - begin) * n_embd));
        std::vector<double> sums(width);
        model_file::to_float(matrix_, begin, end, block.data());
        for (int64_t token = begin; token < end; ++token) {
            const float * weight = block.data() + (token - begin) * n_embd;
            std::fill(sums.begin(), sums.end(), 0.0);
            for (int64_t c = 0; c < n_embd; ++c) {
                const auto factor = static_cast<double>(weight[c]);
                const double * values = h.data() + c * n_rows;
                for (size_t r = 0; r < width; ++r) {
                    sums[r] += factor * values[r];
                }
            }
            for (size_t r = 0; r < width; ++r) {
                rows[r][static_cast<size_t>(token)] += static_cast<float>(sums[r]);
            }
        }
    }
    return rows;
}

// y = g . (x r) with g = row of the matrix * w, r = (mean(x x) + eps)^(-1/2):  dy/dx = r g - r^3 (g . x) x / n_embd
void output_head::derivative(const float * x, int32_t token, float * d) const {
    const std::vector<float> row = row_of(matrix_, token);
    double along = 0;
    for (size_t c = 0; c < norm_.size(); ++c) {
        along += static_cast<double>(x[c]) * static_cast<double>(row[c]) * static_cast<double>(norm_[c]);
    }
    const auto width = static_cast<double>(norm_.size());
    const double r = inverse_rms(x);
    for (size_t c = 0; c < norm_.size(); ++c) {
        const double g = static_cast<double>(row[c]) * static_cast<double>(norm_[c]);
        d[c] = static_cast<float>(r * g - r * r * r * along * static_cast<double>(x[c]) / width);
    }
}

}  // namespace tmx
