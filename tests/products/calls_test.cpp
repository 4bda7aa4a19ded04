// What a call keeps to whatever the kernel: the same bits for any number of threads and any neighbours, and errors that
// leave the result alone.
#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <string>
#include <string_view>

#include "product_problem.h"

namespace tmx::test {
namespace {

std::string bits_of(const product_problem & p, const char * kernel, int n_threads) {
    guarded_buffer out = p.make_out();
    product_context context;
    context.kernel = kernel;
    context.n_threads = n_threads;
    const status result = multiply_rows(p.args(out), context);
    EXPECT_TRUE(result.ok()) << result.message();
    return {out.as<char>(), out.size()};
}

TEST(product_calls, same_bits_for_any_number_of_threads) {
    for (const product_kernel_info & kernel : product_kernels()) {
        for (const product_arithmetic arithmetic : k_arithmetics) {
            for (const weight_type type : k_all_weights) {
                if (!computes(kernel, arithmetic)) {
                    continue;
                }
                const product_problem p(
                    {.type = type, .arithmetic = arithmetic, .n_rows = 211, .n_columns = 45, .n_blocks = 2});
                const std::string one = bits_of(p, kernel.name, 1);
                for (const int n_threads : {2, 3, 7}) {
                    EXPECT_EQ(bits_of(p, kernel.name, n_threads), one) << p.shape.label() << ", " << n_threads;
                }
            }
        }
    }
}

TEST(product_calls, a_row_does_not_depend_on_its_neighbours) {
    for (const product_kernel_info & kernel : product_kernels()) {
        for (const product_arithmetic arithmetic : k_arithmetics) {
            if (!computes(kernel, arithmetic)) {
                continue;
            }
            const product_problem p(
                {.type = weight_type::q5_0, .arithmetic = arithmetic, .n_rows = 29, .n_columns = 33, .n_blocks = 5});
            guarded_buffer all = p.make_out();
            product_context context;
            context.kernel = kernel.name;
            ASSERT_TRUE(multiply_rows(p.args(all), context).ok());
            for (int64_t row = 0; row < 29; ++row) {
                guarded_buffer alone(33 * sizeof(float));
                product_args args = p.args(alone);
                args.rows += row * args.row_stride;
                args.n_rows = 1;
                ASSERT_TRUE(multiply_rows(args, context).ok());
                ASSERT_EQ(std::memcmp(alone.data(), all.as<float>() + row * 33, alone.size()), 0)
                    << p.shape.label() << ", " << kernel.name << row;
            }
        }
    }
}

TEST(product_calls, a_kernel_without_an_arithmetic_says_so) {
    for (const product_kernel_info & kernel : product_kernels()) {
        for (const product_arithmetic arithmetic : k_arithmetics) {
            const product_problem p({.arithmetic = arithmetic});
            guarded_buffer out = p.make_out();
            product_context context;
            context.kernel = kernel.name;
            const status result = multiply_rows(p.args(out), context);
            EXPECT_EQ(result.code(), computes(kernel, arithmetic) ? status_code::ok : status_code::unsupported)
                << kernel.name << ' ' << result.message();
        }
    }
}

TEST(product_calls, a_context_serves_products_of_any_size_in_turn) {
    product_context context;
    for (const int64_t n_rows : {3, 100, 5}) {
        const product_problem p({.type = weight_type::q4_k, .n_rows = n_rows, .n_columns = 40, .n_blocks = 1});
        guarded_buffer out = p.make_out();
        ASSERT_TRUE(multiply_rows(p.args(out), context).ok());
        const std::string found(out.as<char>(), out.size());
        EXPECT_EQ(found, bits_of(p, nullptr, 1));
    }
}

// Products of the same rows, one after the other, as a layer has them: with other weights of the same type, of another
// type that rounds rows alike, of one that does not, and in another number of threads, for which the scratch grows.
TEST(product_calls, rows_that_did_not_change_give_the_same_bits) {
    constexpr weight_type k_turns[] = {weight_type::q8_0, weight_type::q4_0, weight_type::q4_1, weight_type::q8_0,
                                       weight_type::q4_k, weight_type::q6_k, weight_type::f32,  weight_type::q8_0};
    for (const product_kernel_info & kernel : product_kernels()) {
        product_context context;
        context.kernel = kernel.name;
        const product_problem rows({.type = weight_type::f32, .n_rows = 70, .n_blocks = 256});
        for (const weight_type type : k_turns) {
            const product_problem p({.type = type,
                                     .n_rows = 70,
                                     .n_columns = 40 + 8 * context.n_threads,
                                     .n_blocks = 256 / weight_block_elems(type)});
            guarded_buffer out = p.make_out();
            guarded_buffer alone = p.make_out();
            product_args args = p.args(out);
            args.rows = rows.rows.as<float>();
            args.rows_unchanged = true;
            ASSERT_TRUE(multiply_rows(args, context).ok());
            product_context fresh;
            fresh.kernel = kernel.name;
            args.out = alone.as<float>();
            args.rows_unchanged = false;
            ASSERT_TRUE(multiply_rows(args, fresh).ok());
            EXPECT_EQ(std::memcmp(out.data(), alone.data(), out.size()), 0) << kernel.name << name_of(type);
            context.n_threads++;
        }
    }
}

TEST(product_calls, rows_that_changed_are_rounded_again) {
    for (const product_kernel_info & kernel : product_kernels()) {
        product_problem p({.type = weight_type::q8_0, .n_rows = 30, .n_columns = 40, .n_blocks = 3});
        product_context context;
        context.kernel = kernel.name;
        guarded_buffer first = p.make_out();
        guarded_buffer second = p.make_out();
        ASSERT_TRUE(multiply_rows(p.args(first), context).ok());
        for (size_t i = 0; i < p.rows.size() / sizeof(float); ++i) {
            p.rows.as<float>()[i] *= -2;
        }
        ASSERT_TRUE(multiply_rows(p.args(second), context).ok());
        for (size_t i = 0; i < first.size() / sizeof(float); ++i) {
            ASSERT_EQ(second.as<float>()[i], -2 * first.as<float>()[i]) << kernel.name;
        }
    }
}

TEST(product_calls, empty_products_do_nothing) {
    product_problem p({.n_rows = 2, .n_columns = 2});
    guarded_buffer out = p.make_out();
    product_context context;
    product_args args = p.args(out);
    args.n_rows = 0;
    EXPECT_TRUE(multiply_rows(args, context).ok());
    args = p.args(out);
    args.n_columns = 0;
    EXPECT_TRUE(multiply_rows(args, context).ok());
    EXPECT_EQ(out.data()[0], guarded_buffer::k_poison);
}

TEST(product_calls, what_is_wrong_is_named_and_nothing_is_written) {
    const product_problem p({.n_rows = 2, .n_columns = 3, .n_blocks = 2});
    const auto message = [&](const std::function<void(product_args &, product_context &)> & spoil) {
        guarded_buffer out = p.make_out();
        product_args args = p.args(out);
        product_context context;
        spoil(args, context);
        const status result = multiply_rows(args, context);
        EXPECT_FALSE(result.ok());
        for (size_t i = 0; i < out.size(); ++i) {
            EXPECT_EQ(out.data()[i], guarded_buffer::k_poison);
        }
        return std::string(result.message());
    };
    using std::string_view;
    EXPECT_TRUE(message([](auto & a, auto &) { a.n_rows = -1; }).starts_with("n_rows"));
    EXPECT_TRUE(message([](auto & a, auto &) { a.n_columns = -1; }).starts_with("n_columns"));
    EXPECT_TRUE(message([](auto & a, auto &) { a.depth = 33; }).starts_with("depth"));
    EXPECT_TRUE(message([](auto & a, auto &) { a.depth = 0; }).starts_with("depth"));
    EXPECT_TRUE(message([](auto & a, auto &) { a.weight_stride_bytes--; }).starts_with("weight_stride_bytes"));
    EXPECT_TRUE(message([](auto & a, auto &) { a.row_stride--; }).starts_with("row_stride"));
    EXPECT_TRUE(message([](auto & a, auto &) { a.out_stride--; }).starts_with("out_stride"));
    EXPECT_TRUE(message([](auto & a, auto &) { a.out = nullptr; }).starts_with("weights, rows, out"));
    EXPECT_TRUE(
        message([](auto & a, auto &) { a.arithmetic = static_cast<product_arithmetic>(4); }).starts_with("arithmetic"));
    EXPECT_TRUE(message([](auto &, auto & c) { c.n_threads = 0; }).starts_with("n_threads"));
    EXPECT_TRUE(message([](auto &, auto & c) { c.kernel = "abacus"; }).starts_with("kernel"));
}

}  // namespace
}  // namespace tmx::test
