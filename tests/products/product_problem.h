// product_problem.h -- one product with random operands in guarded memory, and what it should give.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "guarded_buffer.h"
#include "trianglemix/products.h"
#include "weight_formats.h"

namespace tmx::test {

constexpr weight_type k_all_weights[] = {weight_type::q8_0, weight_type::q4_0, weight_type::q4_1, weight_type::q5_0,
                                         weight_type::q5_1, weight_type::q4_k, weight_type::q5_k, weight_type::q6_k,
                                         weight_type::f32,  weight_type::f16,  weight_type::bf16};

constexpr product_arithmetic k_arithmetics[] = {product_arithmetic::host, product_arithmetic::f32,
                                                product_arithmetic::bf16, product_arithmetic::i16};

// Whether the kernel has it.
inline bool computes(const product_kernel_info & kernel, product_arithmetic arithmetic) {
    if (arithmetic == product_arithmetic::i16) {
        return kernel.i16;
    }
    return kernel.bf16 || arithmetic != product_arithmetic::bf16;
}

struct product_case {
    weight_type type = weight_type::q8_0;
    product_arithmetic arithmetic = product_arithmetic::host;
    int64_t n_rows = 1;
    int64_t n_columns = 1;
    int64_t n_blocks = 1;        // depth in blocks of the weights, or in values of those that have none
    int64_t row_padding = 0;     // elements between rows; NaN, as all that is not filled
    int64_t out_padding = 0;     // elements between rows of the result
    int64_t weight_padding = 0;  // bytes between rows of the weights

    int64_t depth() const { return n_blocks * weight_block_elems(type); }
    std::string label() const {
        return std::string(name_of(type)) + " in " + name_of(arithmetic) + " " + std::to_string(n_rows) + " x " +
               std::to_string(depth()) + " x " + std::to_string(n_columns);
    }
};

// Fills a block with random bits, and scales of moderate size; or a value.
inline void random_block(weight_type type, uint8_t * block, std::mt19937 & random) {
    for (int64_t i = 0; i < weight_block_bytes(type); ++i) {
        block[i] = static_cast<uint8_t>(random());
    }
    std::uniform_real_distribution<float> scales(-1.0f, 1.0f);
    const auto set_half = [&](int place, float step) { write_u16(block + place, f32_to_f16(step * scales(random))); };
    switch (type) {
        case weight_type::q4_1:
        case weight_type::q5_1:
            set_half(0, 0.1f);
            set_half(2, 1.0f);
            break;
        case weight_type::q4_k:
        case weight_type::q5_k:
            set_half(0, 0.01f);
            set_half(2, 0.01f);
            break;
        case weight_type::q6_k:
            set_half(208, 0.001f);
            break;
        case weight_type::f32: {
            const float value = scales(random);
            std::memcpy(block, &value, sizeof(value));
            break;
        }
        case weight_type::f16:
            set_half(0, 1.0f);
            break;
        case weight_type::bf16:
            write_u16(block, f32_to_bf16(scales(random)));
            break;
        default:
            set_half(0, 0.1f);
            break;
    }
}

struct product_problem {
    explicit product_problem(const product_case & c)
        : shape(c),
          weight_stride(c.n_blocks * weight_block_bytes(c.type) + c.weight_padding),
          row_stride(c.depth() + c.row_padding),
          weights(static_cast<size_t>(c.n_columns * weight_stride - c.weight_padding)),
          rows(static_cast<size_t>(c.n_rows * row_stride - c.row_padding) * sizeof(float)) {
        std::mt19937 random(static_cast<unsigned>(c.n_rows * 131 + c.n_columns * 17 + c.n_blocks));
        for (int64_t column = 0; column < c.n_columns; ++column) {
            for (int64_t b = 0; b < c.n_blocks; ++b) {
                random_block(c.type, weights.data() + column * weight_stride + b * weight_block_bytes(c.type), random);
            }
        }
        std::normal_distribution<float> values(0.0f, 1.0f);
        for (int64_t row = 0; row < c.n_rows; ++row) {
            for (int64_t i = 0; i < c.depth(); ++i) {
                // Every eleventh block is zero, which has no scale.
                rows.as<float>()[row * row_stride + i] = (row + i / 256) % 11 == 10 ? 0.0f : values(random);
            }
        }
    }

    const float * row(int64_t index) const { return rows.as<float>() + index * row_stride; }

    double exact_weight(int64_t column, int64_t i) const {
        const int64_t block = weight_block_elems(shape.type);
        return weight_value(shape.type,
                            weights.data() + column * weight_stride + i / block * weight_block_bytes(shape.type),
                            static_cast<int>(i % block));
    }

    // As the arithmetic takes it.
    std::vector<double> rounded_column(const std::vector<double> & exact) const {
        if (shape.arithmetic == product_arithmetic::i16) {
            return in_i16({exact.begin(), exact.end()});
        }
        std::vector<double> result = exact;
        if (shape.arithmetic == product_arithmetic::bf16) {
            std::ranges::transform(exact, result.begin(),
                                   [](double value) { return in_bf16(static_cast<float>(value)); });
        }
        return result;
    }

    product_args args(guarded_buffer & out) const {
        product_args result;
        result.weights = weights.data();
        result.rows = rows.as<float>();
        result.out = out.as<float>();
        result.type = shape.type;
        result.arithmetic = shape.arithmetic;
        result.n_rows = shape.n_rows;
        result.n_columns = shape.n_columns;
        result.depth = shape.depth();
        result.weight_stride_bytes = weight_stride;
        result.row_stride = row_stride;
        result.out_stride = shape.n_columns + shape.out_padding;
        return result;
    }

    guarded_buffer make_out() const {
        return guarded_buffer(
            static_cast<size_t>(shape.n_rows * (shape.n_columns + shape.out_padding) - shape.out_padding) *
            sizeof(float));
    }

    product_case shape;
    int64_t weight_stride;
    int64_t row_stride;
    guarded_buffer weights;
    guarded_buffer rows;
};

}  // namespace tmx::test
