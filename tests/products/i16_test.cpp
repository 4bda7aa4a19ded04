// Products in integers of 14 bits: values at the ends of what they can be, and what is lost beside rows rounded to f16.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <random>
#include <vector>

#include "number_formats.h"
#include "trianglemix/products.h"

namespace tmx::test {
namespace {

constexpr float k_largest = std::numeric_limits<float>::max();
constexpr float k_infinity = std::numeric_limits<float>::infinity();
constexpr float k_nan = std::numeric_limits<float>::quiet_NaN();

// Rows and columns of f32, all as long as `depth`.
struct matrices {
    int64_t n_rows = 7;
    int64_t n_columns = 33;
    int64_t depth = 96;
    std::vector<float> rows = std::vector<float>(static_cast<size_t>(n_rows * depth));
    std::vector<float> weights = std::vector<float>(static_cast<size_t>(n_columns * depth));

    double exact(int64_t row, int64_t column) const {
        double sum = 0;
        for (int64_t i = 0; i < depth; ++i) {
            sum += static_cast<double>(rows[static_cast<size_t>(row * depth + i)]) *
                   weights[static_cast<size_t>(column * depth + i)];
        }
        return sum;
    }

    std::vector<float> multiply(const char * kernel, product_arithmetic arithmetic, weight_type type,
                                const void * typed_weights) const {
        std::vector<float> out(static_cast<size_t>(n_rows * n_columns));
        product_args args;
        args.weights = typed_weights;
        args.rows = rows.data();
        args.out = out.data();
        args.type = type;
        args.arithmetic = arithmetic;
        args.n_rows = n_rows;
        args.n_columns = n_columns;
        args.depth = depth;
        args.weight_stride_bytes = depth * weight_block_bytes(type);
        args.row_stride = depth;
        args.out_stride = n_columns;
        product_context context;
        context.kernel = kernel;
        const status result = multiply_rows(args, context);
        EXPECT_TRUE(result.ok()) << result.message();
        return out;
    }

    std::vector<float> in_i16(const char * kernel) const {
        return multiply(kernel, product_arithmetic::i16, weight_type::f32, weights.data());
    }
};

class product_i16 : public testing::Test {
  protected:
    void SetUp() override {
        for (const product_kernel_info & kernel : product_kernels()) {
            if (kernel.i16) {
                kernels_.push_back(kernel.name);
            }
        }
        if (kernels_.empty()) {
            GTEST_SKIP() << "this CPU has no AVX512-VNNI";
        }
    }

    // Every result differs from the exact one by at most `relative` of it, or `absolute`.
    void expect_near(const matrices & m, double relative, double absolute) const {
        for (const char * kernel : kernels_) {
            const std::vector<float> out = m.in_i16(kernel);
            for (int64_t row = 0; row < m.n_rows; ++row) {
                for (int64_t column = 0; column < m.n_columns; ++column) {
                    const double exact = m.exact(row, column);
                    ASSERT_NEAR(out[static_cast<size_t>(row * m.n_columns + column)], exact,
                                relative * std::fabs(exact) + absolute)
                        << kernel << ", row " << row << ", column " << column;
                }
            }
        }
    }

    std::vector<const char *> kernels_;
};

constexpr double k_few_roundings = 16.0 / (1 << 24);

// All integers are 8191 or -8191, so a group's sum is the largest that there is.
TEST_F(product_i16, sums_of_largest_values_do_not_overflow) {
    for (const float row_value : {1.0f, -1.0f, 3e-5f, 65504.0f}) {
        for (const float weight : {1.0f, -1.0f, 0.0123f, 65504.0f}) {
            matrices m;
            m.rows.assign(m.rows.size(), row_value);
            m.weights.assign(m.weights.size(), weight);
            expect_near(m, k_few_roundings, 0);
        }
    }
}

TEST_F(product_i16, values_at_the_ends_of_f32) {
    matrices m;
    m.rows.assign(m.rows.size(), k_largest);
    m.weights.assign(m.weights.size(), 1e-30f);
    expect_near(m, k_few_roundings, 0);
    m.rows.assign(m.rows.size(), 1e-30f);
    m.weights.assign(m.weights.size(), -k_largest);
    expect_near(m, k_few_roundings, 0);
}

// Steps are no finer than the least normal number.
TEST_F(product_i16, denormals_are_rounded_to_the_least_normal_number) {
    matrices m;
    std::mt19937 random(5);
    std::uniform_real_distribution<float> tiny(-1e-38f, 1e-38f);
    std::ranges::generate(m.rows, [&] { return tiny(random); });
    m.weights.assign(m.weights.size(), 1.0f);
    expect_near(m, 0, static_cast<double>(m.depth) * 0x1p-126);
    std::ranges::generate(m.weights, [&] { return tiny(random); });
    m.rows.assign(m.rows.size(), 1.0f);
    expect_near(m, 0, static_cast<double>(m.depth) * 0x1p-126);
}

TEST_F(product_i16, zeros_give_zeros) {
    matrices m;
    expect_near(m, 0, 0);
    m.rows.assign(m.rows.size(), 2.0f);
    expect_near(m, 0, 0);
    m.rows.assign(m.rows.size(), 0.0f);
    m.weights.assign(m.weights.size(), -3.0f);
    expect_near(m, 0, 0);
}

// One row, or one column, is NaN then; the others keep their bits.
TEST_F(product_i16, what_is_not_finite_stays_in_its_row_or_column) {
    matrices finite;
    std::mt19937 random(6);
    std::normal_distribution<float> normal;
    std::ranges::generate(finite.rows, [&] { return normal(random); });
    std::ranges::generate(finite.weights, [&] { return normal(random); });
    const auto check = [&](const matrices & m, const std::function<bool(int64_t, int64_t)> & spoiled) {
        for (const char * kernel : kernels_) {
            const std::vector<float> expected = finite.in_i16(kernel);
            const std::vector<float> found = m.in_i16(kernel);
            for (int64_t i = 0; i < m.n_rows * m.n_columns; ++i) {
                const auto at = static_cast<size_t>(i);
                if (spoiled(i / m.n_columns, i % m.n_columns)) {
                    ASSERT_TRUE(std::isnan(found[at])) << kernel << ' ' << i;
                } else {
                    ASSERT_EQ(std::memcmp(&found[at], &expected[at], sizeof(float)), 0) << kernel << ' ' << i;
                }
            }
        }
    };
    for (const float value : {k_infinity, -k_infinity, k_nan, -k_nan}) {
        matrices m = finite;
        m.rows[static_cast<size_t>(3 * m.depth + 50)] = value;
        check(m, [](int64_t row, int64_t) { return row == 3; });
        m = finite;
        m.weights[static_cast<size_t>(17 * m.depth + 95)] = value;
        check(m, [](int64_t, int64_t column) { return column == 17; });
    }
}

// Root mean square of what i16 is off, by that of rows rounded to f16 with weights as they are (ggml's way, whose sums
// are the products' only other rounding).
double error_beside_f16(const char * kernel, const std::function<float(int64_t)> & row_scale) {
    matrices m{.n_rows = 64, .n_columns = 64, .depth = 576};
    std::mt19937 random(7);
    std::normal_distribution<float> normal;
    for (size_t i = 0; i < m.rows.size(); ++i) {
        m.rows[i] = normal(random) * row_scale(static_cast<int64_t>(i));
    }
    std::vector<uint16_t> halves;
    for (float & weight : m.weights) {
        halves.push_back(f32_to_f16(normal(random)));
        weight = f16_to_f32(halves.back());
    }
    const auto squared_error = [&](product_arithmetic arithmetic) {
        const std::vector<float> out = m.multiply(kernel, arithmetic, weight_type::f16, halves.data());
        double sum = 0;
        for (int64_t row = 0; row < m.n_rows; ++row) {
            for (int64_t column = 0; column < m.n_columns; ++column) {
                const double off = out[static_cast<size_t>(row * m.n_columns + column)] - m.exact(row, column);
                sum += off * off;
            }
        }
        return sum;
    };
    return std::sqrt(squared_error(product_arithmetic::i16) / squared_error(product_arithmetic::host));
}

// A value is off by up to half a step: 1/16382 of the largest of its 32. In f16 it is off by up to 1/2048 of itself. So
// of values of similar size i16 keeps more.
TEST_F(product_i16, loses_less_than_f16_of_values_of_similar_size) {
    for (const char * kernel : kernels_) {
        const double ratio = error_beside_f16(kernel, [](int64_t) { return 1.0f; });
        EXPECT_LT(ratio, 0.7) << kernel;
        EXPECT_GT(ratio, 0.2) << kernel << ": nothing was rounded";
    }
}

// One value of 32 a thousand times as large takes the others' bits: they are off by 32 / 12 squares of a step together.
// In f16 that one value is off by as much alone, on average.
TEST_F(product_i16, loses_as_much_as_f16_beside_outliers) {
    for (const char * kernel : kernels_) {
        for (const int64_t period : {32, 576}) {
            const double ratio = error_beside_f16(kernel, [&](int64_t i) { return i % period == 5 ? 1000.0f : 1.0f; });
            EXPECT_LT(ratio, 1.3) << kernel << ", one in " << period;
        }
    }
}

}  // namespace
}  // namespace tmx::test
