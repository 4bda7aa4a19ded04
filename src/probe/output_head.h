// probe/output_head.h -- from rows of the last layer's output to logits, and the derivative of one logit back.
#pragma once

#include <cstdint>
#include <vector>

#include "probe/model_file.h"
#include "runtime/fidelity.h"

namespace tmx {

// With n(x) = x / rms(x) * w, a row's logits are W n(x) + b.
// REQUIRES the file to outlive it. NUMERICS sums in double; the same bits for any number of threads and rows.
class output_head {
  public:
    output_head(const model_file & file, int32_t n_threads);

    logit_rows logits(const float * x, int64_t n_rows) const;  // x: [n_rows, n_embd]

    // d = dy/dx of one row, y its logit of that token. x, d: [n_embd].
    void derivative(const float * x, int32_t token, float * d) const;

  private:
    const model_file & file_;
    int32_t n_threads_;
    const file_tensor & matrix_;
    std::vector<float> norm_;  // w

    double inverse_rms(const float * x) const;
};

}  // namespace tmx
