// Norms by every kernel that this CPU runs, against a computation in double precision.
#include "trianglemix/norms.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <random>
#include <string>

#include "guarded_buffer.h"
#include "trianglemix/products.h"

namespace tmx::test {
namespace {

struct norm_case {
    int64_t width = 1;
    std::array<int64_t, 3> n_rows = {1, 1, 1};
    std::array<int64_t, 3> padding = {};      // values behind each row, matrix and stack of matrices; NaN
    std::array<int64_t, 3> out_padding = {};  // of the result
    bool normalise = true;
    bool weighted = true;
    float epsilon = 1e-5f;
};

std::array<int64_t, 3> strides_of(const norm_case & c, const std::array<int64_t, 3> & padding) {
    std::array<int64_t, 3> strides{};
    int64_t size = c.width;
    for (size_t axis = 0; axis < 3; ++axis) {
        strides[axis] = size + padding[axis];
        size = strides[axis] * c.n_rows[axis];
    }
    return strides;
}

int64_t offset_of(const std::array<int64_t, 3> & strides, int64_t i0, int64_t i1, int64_t i2) {
    return i0 * strides[0] + i1 * strides[1] + i2 * strides[2];
}

// Calls visit(i0, i1, i2) for all rows.
void each_row(const norm_case & c, const std::function<void(int64_t, int64_t, int64_t)> & visit) {
    for (int64_t i2 = 0; i2 < c.n_rows[2]; ++i2) {
        for (int64_t i1 = 0; i1 < c.n_rows[1]; ++i1) {
            for (int64_t i0 = 0; i0 < c.n_rows[0]; ++i0) {
                visit(i0, i1, i2);
            }
        }
    }
}

struct norm_problem {
    explicit norm_problem(const norm_case & c)
        : shape(c), row_strides(strides_of(c, c.padding)), out_strides(strides_of(c, c.out_padding)) {
        std::mt19937 random(static_cast<unsigned>(c.width * 31 + c.n_rows[0]));
        std::normal_distribution<float> values(0.3f, 2.0f);
        rows = memory(row_strides);
        weights = guarded_buffer(static_cast<size_t>(c.width) * sizeof(float));
        std::generate_n(weights.as<float>(), c.width, [&] { return values(random); });
        each_row(c, [&](int64_t i0, int64_t i1, int64_t i2) {
            float * row = rows.as<float>() + offset_of(row_strides, i0, i1, i2);
            // Rows differ in size by orders; one is zero.
            const float size = i0 == 1 ? 0.0f : std::pow(10.0f, static_cast<float>(i0 % 7) - 3.0f);
            std::generate_n(row, c.width, [&] { return size * values(random); });
        });
    }

    guarded_buffer memory(const std::array<int64_t, 3> & strides) const {
        const int64_t last = offset_of(strides, shape.n_rows[0] - 1, shape.n_rows[1] - 1, shape.n_rows[2] - 1);
        return guarded_buffer(static_cast<size_t>(last + shape.width) * sizeof(float));
    }

    norm_args args(guarded_buffer & out) const {
        norm_args result;
        result.rows = rows.as<float>();
        result.weights = shape.weighted ? weights.as<float>() : nullptr;
        result.out = out.as<float>();
        result.normalise = shape.normalise;
        result.epsilon = shape.epsilon;
        result.width = shape.width;
        result.n_rows = shape.n_rows;
        result.row_strides = row_strides;
        result.out_strides = out_strides;
        return result;
    }

    // What row i0, i1, i2 should be, value i.
    double expected(const float * row, int64_t i) const {
        double factor = 1;
        if (shape.normalise) {
            double sum = 0;
            for (int64_t k = 0; k < shape.width; ++k) {
                sum += static_cast<double>(row[k]) * static_cast<double>(row[k]);
            }
            factor = 1 / std::sqrt(sum / static_cast<double>(shape.width) + static_cast<double>(shape.epsilon));
        }
        return static_cast<double>(row[i]) * factor *
               (shape.weighted ? static_cast<double>(weights.as<float>()[i]) : 1);
    }

    norm_case shape;
    std::array<int64_t, 3> row_strides;
    std::array<int64_t, 3> out_strides;
    guarded_buffer rows;
    guarded_buffer weights;
};

// Squares, mean, mean + epsilon, root, its inverse, and two products are rounded to f32; half of the relative error of
// what is under the root goes into the result. So at most 1.5 + 1 + 1 + 2 roundings of 2^-24; twice that is allowed.
constexpr double k_bound = 11.0 / (1 << 24);

void check(const norm_case & c, const char * kernel) {
    const norm_problem p(c);
    guarded_buffer out = p.memory(p.out_strides);
    const status result = normalise_rows(p.args(out), 2, kernel);
    ASSERT_TRUE(result.ok()) << result.message();
    int64_t n_written = 0;
    each_row(c, [&](int64_t i0, int64_t i1, int64_t i2) {
        const float * row = p.rows.as<float>() + offset_of(p.row_strides, i0, i1, i2);
        const float * found = out.as<float>() + offset_of(p.out_strides, i0, i1, i2);
        for (int64_t i = 0; i < c.width; ++i) {
            const double expected = p.expected(row, i);
            ASSERT_LE(std::fabs(static_cast<double>(found[i]) - expected), std::fabs(expected) * k_bound)
                << kernel << ", width " << c.width << ", row " << i0 << ", value " << i;
        }
        n_written += c.width;
    });
    EXPECT_TRUE(out.canary_intact());
    int64_t n_poisoned = 0;
    for (size_t i = 0; i < out.size(); i += sizeof(float)) {
        n_poisoned += std::isnan(out.as<float>()[i / sizeof(float)]);
    }
    EXPECT_EQ(n_poisoned + n_written, static_cast<int64_t>(out.size() / sizeof(float))) << "between rows";
}

TEST(product_norms, every_width_around_the_vectors_is_right) {
    for (const product_kernel_info & kernel : product_kernels()) {
        for (int64_t width = 1; width <= 70; ++width) {
            check({.width = width, .n_rows = {3, 1, 1}}, kernel.name);
        }
        for (const int64_t width : {127, 128, 576, 1000, 4096}) {
            check({.width = width, .n_rows = {9, 1, 1}}, kernel.name);
        }
    }
}

TEST(product_norms, any_strides_and_axes_are_right) {
    for (const product_kernel_info & kernel : product_kernels()) {
        check({.width = 64, .n_rows = {5, 3, 2}, .padding = {3, 7, 11}, .out_padding = {1, 0, 5}}, kernel.name);
        check({.width = 33, .n_rows = {2, 40, 1}, .padding = {0, 64, 0}, .weighted = false}, kernel.name);
        check({.width = 50, .n_rows = {4, 2, 3}, .out_padding = {6, 0, 0}, .epsilon = 0.5f}, kernel.name);
        check({.width = 50, .n_rows = {4, 2, 3}, .padding = {2, 0, 0}, .normalise = false}, kernel.name);
    }
}

TEST(product_norms, rows_may_be_replaced_where_they_are) {
    for (const product_kernel_info & kernel : product_kernels()) {
        norm_problem p({.width = 77, .n_rows = {6, 2, 1}, .padding = {5, 0, 0}, .out_padding = {5, 0, 0}});
        guarded_buffer apart = p.memory(p.out_strides);
        ASSERT_TRUE(normalise_rows(p.args(apart), 1, kernel.name).ok());
        ASSERT_TRUE(normalise_rows(p.args(p.rows), 2, kernel.name).ok());
        EXPECT_EQ(std::memcmp(apart.data(), p.rows.data(), apart.size()), 0) << kernel.name;
    }
}

TEST(product_norms, same_bits_for_any_number_of_threads_and_any_neighbours) {
    for (const product_kernel_info & kernel : product_kernels()) {
        const norm_problem p({.width = 131, .n_rows = {7, 5, 1}});
        guarded_buffer one = p.memory(p.out_strides);
        ASSERT_TRUE(normalise_rows(p.args(one), 1, kernel.name).ok());
        for (const int32_t n_threads : {2, 3, 40}) {
            guarded_buffer several = p.memory(p.out_strides);
            ASSERT_TRUE(normalise_rows(p.args(several), n_threads, kernel.name).ok());
            EXPECT_EQ(std::memcmp(one.data(), several.data(), one.size()), 0) << kernel.name << n_threads;
        }
        guarded_buffer alone(131 * sizeof(float));
        norm_args args = p.args(alone);
        args.rows += offset_of(p.row_strides, 4, 3, 0);
        args.n_rows = {1, 1, 1};
        ASSERT_TRUE(normalise_rows(args, 1, kernel.name).ok());
        EXPECT_EQ(std::memcmp(alone.data(), one.as<float>() + offset_of(p.out_strides, 4, 3, 0), alone.size()), 0);
    }
}

TEST(product_norms, what_is_wrong_is_named_and_nothing_is_written) {
    const norm_problem p({.width = 8, .n_rows = {2, 1, 1}});
    const auto message = [&](const std::function<void(norm_args &)> & spoil, int32_t n_threads = 1,
                             const char * kernel = nullptr) {
        guarded_buffer out = p.memory(p.out_strides);
        norm_args args = p.args(out);
        spoil(args);
        const status result = normalise_rows(args, n_threads, kernel);
        EXPECT_EQ(result.code(), status_code::invalid_argument);
        EXPECT_TRUE(std::all_of(out.data(), out.data() + out.size(),
                                [](uint8_t byte) { return byte == guarded_buffer::k_poison; }));
        return std::string(result.message());
    };
    constexpr float k_nan = std::numeric_limits<float>::quiet_NaN();
    EXPECT_TRUE(message([](norm_args & a) { a.width = 0; }).starts_with("width"));
    EXPECT_TRUE(message([](norm_args & a) { a.n_rows[2] = -1; }).starts_with("n_rows"));
    EXPECT_TRUE(message([](norm_args & a) { a.epsilon = -1; }).starts_with("epsilon"));
    EXPECT_TRUE(message([](norm_args & a) { a.epsilon = k_nan; }).starts_with("epsilon"));
    EXPECT_TRUE(message([](norm_args & a) { a.out = nullptr; }).starts_with("rows, out"));
    EXPECT_TRUE(message([](norm_args &) {}, 0).starts_with("n_threads"));
    EXPECT_TRUE(message([](norm_args &) {}, 1, "abacus").starts_with("kernel"));
    norm_args empty;
    empty.width = 4;
    empty.n_rows = {3, 0, 1};
    EXPECT_TRUE(normalise_rows(empty, 1, nullptr).ok());
}

}  // namespace
}  // namespace tmx::test
