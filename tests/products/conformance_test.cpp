// Every kernel that this CPU runs, against products in double precision of what ggml's formats say.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <vector>

#include "product_problem.h"

namespace tmx::test {
namespace {

// What a value of the result should be: with weights and row rounded as the arithmetic says, and as they are.
struct expected_value {
    double rounded = 0;
    double exact = 0;
    double plain = 0;      // the plain computation: integers exactly, or a loop in f32
    double magnitude = 0;  // sum of the magnitudes of what `rounded` adds up
};

bool as_integers(const product_case & c) {
    return c.arithmetic == product_arithmetic::host && weight_block_elems(c.type) > 1;
}

// Whether the sums of a group's products are exact.
bool sums_integers(const product_case & c) {
    return as_integers(c) || c.arithmetic == product_arithmetic::i16;
}

// The minimum of a group of 32 weights: the value that an integer of zero would have.
double min_of_group(const product_problem & p, int64_t column, int64_t group) {
    if (!as_integers(p.shape)) {
        return 0;
    }
    const uint8_t * row = p.weights.data() + column * p.weight_stride;
    const int64_t elems = weight_block_elems(p.shape.type);
    const uint8_t * block = row + group * 32 / elems * weight_block_bytes(p.shape.type);
    switch (p.shape.type) {
        case weight_type::q4_1:
        case weight_type::q5_1:
            return f16_to_f32(read_u16(block + 2));
        case weight_type::q4_k:
        case weight_type::q5_k:
            return -static_cast<double>(f16_to_f32(read_u16(block + 2))) *
                   six_bits(block + 4, static_cast<int>(group % 8)).min;
        default:
            return 0;
    }
}

// A column's weights, read once for all rows.
struct column_weights {
    column_weights(const product_problem & p, int64_t column) {
        for (int64_t i = 0; i < p.shape.depth(); ++i) {
            mins.push_back(min_of_group(p, column, i / 32));
            exact.push_back(p.exact_weight(column, i));
        }
        above_min = p.rounded_column(exact);
        std::ranges::transform(above_min, mins, above_min.begin(), std::minus());
    }

    std::vector<double> above_min;
    std::vector<double> mins;
    std::vector<double> exact;
};

expected_value expect(const column_weights & weights, const rounded_row & rounded, const float * row, bool integers) {
    expected_value result;
    float sum = 0;
    for (size_t i = 0; i < weights.exact.size(); ++i) {
        const double term = weights.above_min[i] * rounded.values[i];
        result.rounded += term;
        result.magnitude += std::fabs(term);
        sum += static_cast<float>(term);
        result.exact += weights.exact[i] * static_cast<double>(row[i]);
        if (i % 32 == 31) {
            const double from_min = weights.mins[i] * rounded.sums[i / 32];
            result.rounded += from_min;
            result.magnitude += std::fabs(from_min);
        }
    }
    result.plain = integers ? result.rounded : static_cast<double>(sum);
    return result;
}

// The rounded product is met but for the rounding of f32 sums. And by the rule of docs/numerics.md the result is no
// further from the true product than twice the plain computation in the same precision.
void check(const product_problem & p, const guarded_buffer & out, const std::string & label) {
    const product_args args = p.args(const_cast<guarded_buffer &>(out));
    double worst = 0;
    double worst_plain = 0;
    double largest = 0;
    const bool integers = sums_integers(p.shape);
    std::vector<rounded_row> rounded;
    for (int64_t row = 0; row < p.shape.n_rows; ++row) {
        rounded.push_back(round_row(p.shape.type, p.shape.arithmetic, p.row(row), p.shape.depth()));
    }
    for (int64_t column = 0; column < p.shape.n_columns; ++column) {
        const column_weights weights(p, column);
        for (int64_t row = 0; row < p.shape.n_rows; ++row) {
            const double found = args.out[row * args.out_stride + column];
            const expected_value wanted = expect(weights, rounded[static_cast<size_t>(row)], p.row(row), integers);
            // Three roundings a group, or of floats a value, the sums' included, each of at most half a unit of the
            // magnitudes met so far.
            const double n_groups = static_cast<double>(p.shape.depth()) / (integers ? 16 : 1);
            const double tolerance =
                (3 * n_groups + 4) * std::numeric_limits<float>::epsilon() / 2 * wanted.magnitude + 1e-30;
            ASSERT_NEAR(found, wanted.rounded, tolerance) << label << ", row " << row << ", column " << column;
            worst = std::max(worst, std::fabs(found - wanted.exact));
            worst_plain = std::max(worst_plain, std::fabs(wanted.plain - wanted.exact));
            // Few sums of floats may all be lucky in the plain computation: what a sum is made of says more.
            largest = std::max(largest, integers ? std::fabs(wanted.exact) : wanted.magnitude);
        }
    }
    EXPECT_LE(worst, 2 * worst_plain + largest * std::numeric_limits<float>::epsilon()) << label;
    EXPECT_TRUE(out.canary_intact()) << label;
    for (int64_t row = 0; row + 1 < p.shape.n_rows; ++row) {
        for (int64_t i = p.shape.n_columns; i < args.out_stride; ++i) {
            uint32_t bits = 0;
            std::memcpy(&bits, args.out + row * args.out_stride + i, sizeof(bits));
            ASSERT_EQ(bits, 0xffffffffu) << label << ": wrote between rows";
        }
    }
}

void run(const product_case & c, const char * kernel) {
    const product_problem p(c);
    guarded_buffer out = p.make_out();
    product_context context;
    context.kernel = kernel;
    context.n_threads = 2;
    const status result = multiply_rows(p.args(out), context);
    ASSERT_TRUE(result.ok()) << result.message();
    check(p, out, c.label() + ", kernel " + kernel);
}

struct way {
    weight_type type;
    product_arithmetic arithmetic;
};

std::vector<way> all_ways(const product_kernel_info & kernel) {
    std::vector<way> result;
    for (const weight_type type : k_all_weights) {
        for (const product_arithmetic arithmetic : k_arithmetics) {
            if (computes(kernel, arithmetic)) {
                result.push_back({type, arithmetic});
            }
        }
    }
    return result;
}

TEST(product_conformance, odd_shapes_of_every_type) {
    for (const product_kernel_info & kernel : product_kernels()) {
        for (const auto & [type, arithmetic] : all_ways(kernel)) {
            for (const int64_t n_rows : {1, 2, 3, 5, 6, 7, 19}) {
                for (const int64_t n_columns : {1, 7, 16, 33}) {
                    run({.type = type,
                         .arithmetic = arithmetic,
                         .n_rows = n_rows,
                         .n_columns = n_columns,
                         .n_blocks = weight_block_elems(type) > 1 ? 3 : 101},
                        kernel.name);
                    if (HasFatalFailure()) {
                        return;
                    }
                }
            }
        }
    }
}

TEST(product_conformance, every_depth_of_weights_without_blocks) {
    for (const product_kernel_info & kernel : product_kernels()) {
        for (const auto & [type, arithmetic] : all_ways(kernel)) {
            for (int64_t depth = 1; depth < 70 && weight_block_elems(type) == 1; ++depth) {
                run({.type = type, .arithmetic = arithmetic, .n_rows = 7, .n_columns = 5, .n_blocks = depth},
                    kernel.name);
                if (HasFatalFailure()) {
                    return;
                }
            }
        }
    }
}

TEST(product_conformance, rows_with_gaps) {
    for (const product_kernel_info & kernel : product_kernels()) {
        for (const auto & [type, arithmetic] : all_ways(kernel)) {
            run({.type = type,
                 .arithmetic = arithmetic,
                 .n_rows = 13,
                 .n_columns = 37,
                 .n_blocks = 2,
                 .row_padding = 5,
                 .out_padding = 3,
                 .weight_padding = 7},
                kernel.name);
        }
    }
}

TEST(product_conformance, several_stretches_of_rows) {
    for (const product_kernel_info & kernel : product_kernels()) {
        run({.type = weight_type::q8_0, .n_rows = 500, .n_columns = 9, .n_blocks = 4}, kernel.name);
        run({.type = weight_type::q6_k, .n_rows = 401, .n_columns = 35, .n_blocks = 1}, kernel.name);
        run({.type = weight_type::f16, .n_rows = 401, .n_columns = 35, .n_blocks = 63}, kernel.name);
        if (kernel.i16) {
            run({.type = weight_type::f16,
                 .arithmetic = product_arithmetic::i16,
                 .n_rows = 401,
                 .n_columns = 35,
                 .n_blocks = 63},
                kernel.name);
        }
    }
}

}  // namespace
}  // namespace tmx::test
