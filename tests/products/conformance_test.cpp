// Every kernel that this CPU runs, against products in double precision of what ggml's formats say.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "product_problem.h"

namespace tmx::test {
namespace {

// What a value of the result should be: with the row rounded as the host rounds it, and with the row as it is.
struct expected_value {
    double rounded = 0;
    double exact = 0;
    double magnitude = 0;  // sum of the magnitudes of what `rounded` adds up
};

// The minimum of a group of 32 weights: the value that an integer of zero would have.
double min_of_group(const product_problem & p, int64_t column, int64_t group) {
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

expected_value expect(const product_problem & p, const rounded_row & rounded, int64_t row, int64_t column) {
    expected_value result;
    for (int64_t i = 0; i < p.shape.depth(); ++i) {
        const double weight = p.weight(column, i);
        const double min = min_of_group(p, column, i / 32);
        const auto index = static_cast<size_t>(i);
        const double term = (weight - min) * rounded.values[index];
        result.rounded += term;
        result.magnitude += std::fabs(term);
        result.exact += weight * static_cast<double>(p.row(row)[i]);
        if (i % 32 == 31) {
            const double from_min = min * rounded.sums[index / 32];
            result.rounded += from_min;
            result.magnitude += std::fabs(from_min);
        }
    }
    return result;
}

// The rounded product is met but for the rounding of f32 sums. And by the rule of docs/numerics.md the result is no
// further from the true product than twice the plain computation in the same precision, which `rounded` is.
void check(const product_problem & p, const guarded_buffer & out, const std::string & label) {
    const product_args args = p.args(const_cast<guarded_buffer &>(out));
    double worst = 0;
    double worst_plain = 0;
    double largest = 0;
    for (int64_t row = 0; row < p.shape.n_rows; ++row) {
        const rounded_row rounded = round_as_host(p.shape.type, p.row(row), p.shape.depth());
        for (int64_t column = 0; column < p.shape.n_columns; ++column) {
            const double found = args.out[row * args.out_stride + column];
            const expected_value wanted = expect(p, rounded, row, column);
            // Three roundings a group, the sums' included, each of at most half a unit of the magnitudes met so far.
            const double n_groups = static_cast<double>(p.shape.depth()) / 16;
            const double tolerance =
                (3 * n_groups + 4) * std::numeric_limits<float>::epsilon() / 2 * wanted.magnitude + 1e-30;
            ASSERT_NEAR(found, wanted.rounded, tolerance) << label << ", row " << row << ", column " << column;
            worst = std::max(worst, std::fabs(found - wanted.exact));
            worst_plain = std::max(worst_plain, std::fabs(wanted.rounded - wanted.exact));
            largest = std::max(largest, std::fabs(wanted.exact));
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

TEST(product_conformance, odd_shapes_of_every_type) {
    for (const product_kernel_info & kernel : product_kernels()) {
        for (const weight_type type : k_all_weights) {
            for (const int64_t n_rows : {1, 2, 3, 5, 6, 7, 19}) {
                for (const int64_t n_columns : {1, 7, 16, 33}) {
                    run({.type = type, .n_rows = n_rows, .n_columns = n_columns, .n_blocks = 3}, kernel.name);
                    if (HasFatalFailure()) {
                        return;
                    }
                }
            }
        }
    }
}

TEST(product_conformance, rows_with_gaps) {
    for (const product_kernel_info & kernel : product_kernels()) {
        for (const weight_type type : k_all_weights) {
            run({.type = type,
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
    }
}

}  // namespace
}  // namespace tmx::test
