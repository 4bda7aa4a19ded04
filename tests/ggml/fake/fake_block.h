// A feed-forward block as cuda_feed_forward.h has it, one value after the other.
#pragma once

#include <cmath>
#include <cstring>
#include <vector>

#include "ggml.h"
#include "trianglemix/cuda_feed_forward.h"

namespace tmx::test {

// With the roundings of the contract. What it may work in is lost.
inline void compute_block(const feed_forward_args & args) {
    const auto rounded = [](float value) { return ggml_fp16_to_fp32(ggml_fp32_to_fp16(value)); };
    const auto dot = [](const std::vector<float> & row, const void * weights, int64_t first) {
        const ggml_fp16_t * values = static_cast<const ggml_fp16_t *>(weights) + first;
        double sum = 0;
        for (size_t i = 0; i < row.size(); ++i) {
            sum += static_cast<double>(row[i]) * static_cast<double>(ggml_fp16_to_fp32(values[i]));
        }
        return static_cast<float>(sum);
    };
    std::vector<std::vector<float>> hidden;
    for (int64_t row = 0; row < args.n_rows; ++row) {
        std::vector<float> in;
        for (int64_t i = 0; i < args.n_in; ++i) {
            in.push_back(rounded(args.x[row * args.x_stride + i]));
        }
        std::vector<float> & values = hidden.emplace_back();
        for (int64_t i = 0; i < args.n_hidden; ++i) {
            const float gate = rounded(dot(in, args.gate, i * args.gate_stride));
            const float up = rounded(dot(in, args.up, i * args.up_stride));
            values.push_back(rounded(gate / (1 + std::exp(-gate)) * up));
        }
    }
    const auto n_values = static_cast<size_t>(args.n_rows * args.n_hidden);
    std::memset(args.gate_rows, 0xff, n_values * 4);
    std::memset(args.up_rows, 0xff, n_values * 2);
    std::memset(args.hidden, 0xff, n_values * 4);
    for (int64_t row = 0; row < args.n_rows; ++row) {
        for (int64_t i = 0; i < args.n_out; ++i) {
            const float added = args.added != nullptr ? args.added[row * args.added_stride + i] : 0;
            args.out[row * args.out_stride + i] =
                rounded(dot(hidden[static_cast<size_t>(row)], args.down, i * args.down_stride)) + added;
        }
    }
}

}  // namespace tmx::test
