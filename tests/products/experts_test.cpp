// A mixture's products: rows sorted by expert, and each row with the bits that it has when it is multiplied alone.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "product_problem.h"
#include "products/expert_rows.h"
#include "trianglemix/expert_products.h"

namespace tmx::test {
namespace {

struct mixture_case {
    int64_t n_tokens = 1;
    int64_t n_slots = 1;
    int64_t n_experts = 1;
    int64_t n_columns = 1;
    bool one_row_a_token = true;  // else one a slot
    int32_t only_expert = -1;     // that all rows go to; -1: any but the first and every seventh
    weight_type type = weight_type::q8_0;

    std::string label() const {
        return std::to_string(n_tokens) + " tokens, " + std::to_string(n_slots) + " of " + std::to_string(n_experts);
    }
};

// The router's choice, with other numbers between the tokens' as in ggml's views.
std::vector<int32_t> choose(const mixture_case & c, int64_t token_stride) {
    std::mt19937 random(static_cast<unsigned>(c.n_tokens * 31 + c.n_slots));
    std::vector<int32_t> chosen(static_cast<size_t>(c.n_tokens * token_stride), -5);
    for (int64_t token = 0; token < c.n_tokens; ++token) {
        for (int64_t slot = 0; slot < c.n_slots; ++slot) {
            auto expert = static_cast<int32_t>(random() % static_cast<unsigned>(c.n_experts));
            expert = expert % 7 == 0 && c.n_experts > 1 ? 1 : expert;
            chosen[static_cast<size_t>(token * token_stride + slot)] = c.only_expert >= 0 ? c.only_expert : expert;
        }
    }
    return chosen;
}

struct mixture {
    explicit mixture(const mixture_case & c)
        : shape(c),
          all({.type = c.type,
               .n_rows = c.n_tokens * (c.one_row_a_token ? 1 : c.n_slots),
               .n_columns = c.n_experts * c.n_columns,
               .n_blocks = 2,
               .row_padding = 3,
               .weight_padding = 2}),
          chosen(choose(c, c.n_slots + 2)) {}

    guarded_buffer make_out() const {
        return guarded_buffer(static_cast<size_t>(shape.n_tokens * token_elems()) * sizeof(float));
    }

    expert_product_args args(guarded_buffer & out) const {
        expert_product_args result;
        result.first = all.args(out);
        result.first.n_columns = shape.n_columns;
        result.first.row_stride = all.row_stride * (shape.one_row_a_token ? 1 : shape.n_slots);
        result.first.out_stride = token_elems();
        result.choice = {chosen.data(), shape.n_slots + 2, shape.n_tokens, shape.n_slots, shape.n_experts};
        result.expert_stride_bytes = shape.n_columns * all.weight_stride;
        result.row_slot_stride = shape.one_row_a_token ? 0 : all.row_stride;
        result.out_slot_stride = slot_elems();
        return result;
    }

    int64_t slot_elems() const { return shape.n_columns + 1; }
    int64_t token_elems() const { return shape.n_slots * slot_elems() + 2; }

    mixture_case shape;
    product_problem all;
    std::vector<int32_t> chosen;
};

// Row by row.
guarded_buffer expect(const mixture & m, const char * kernel) {
    guarded_buffer out = m.make_out();
    const expert_product_args args = m.args(out);
    product_context context;
    context.kernel = kernel;
    for (int64_t token = 0; token < m.shape.n_tokens; ++token) {
        for (int64_t slot = 0; slot < m.shape.n_slots; ++slot) {
            product_args row = args.first;
            row.n_rows = 1;
            row.weights = static_cast<const char *>(row.weights) +
                          args.choice.experts[token * args.choice.token_stride + slot] * args.expert_stride_bytes;
            row.rows += token * row.row_stride + slot * args.row_slot_stride;
            row.out += token * row.out_stride + slot * args.out_slot_stride;
            EXPECT_TRUE(multiply_rows(row, context).ok());
        }
    }
    return out;
}

const mixture_case k_cases[] = {
    {.n_tokens = 1, .n_slots = 1, .n_experts = 1, .n_columns = 1},
    {.n_tokens = 13, .n_slots = 3, .n_experts = 29, .n_columns = 33},
    {.n_tokens = 61,
     .n_slots = 4,
     .n_experts = 8,
     .n_columns = 45,
     .one_row_a_token = false,
     .type = weight_type::q4_k},
    {.n_tokens = 90, .n_slots = 2, .n_experts = 5, .n_columns = 7, .only_expert = 4, .type = weight_type::q5_1},
    {.n_tokens = 700, .n_slots = 2, .n_experts = 3, .n_columns = 5, .only_expert = 1},  // more than a stretch
    {.n_tokens = 800, .n_slots = 4, .n_experts = 11, .n_columns = 3, .one_row_a_token = false},
};

TEST(product_experts, rows_have_the_bits_that_they_have_alone) {
    for (const product_kernel_info & kernel : product_kernels()) {
        expert_context experts;  // whose scratch serves all sizes in turn
        for (const mixture_case & c : k_cases) {
            const mixture m(c);
            const guarded_buffer expected = expect(m, kernel.name);
            for (const int n_threads : {1, 2, 5}) {
                guarded_buffer out = m.make_out();
                product_context context;
                context.kernel = kernel.name;
                context.n_threads = n_threads;
                const status result = multiply_expert_rows(m.args(out), context, experts);
                ASSERT_TRUE(result.ok()) << result.message();
                EXPECT_EQ(std::memcmp(out.data(), expected.data(), out.size()), 0) << kernel.name << ", " << c.label();
                EXPECT_TRUE(out.canary_intact());
            }
        }
    }
}

TEST(product_experts, nothing_is_left_of_the_call_before) {
    expert_context experts;
    product_context context;
    mixture poison({.n_tokens = 40, .n_slots = 2, .n_experts = 3, .n_columns = 64});
    std::memset(poison.all.rows.data(), guarded_buffer::k_poison, poison.all.rows.size());
    guarded_buffer nans = poison.make_out();
    ASSERT_TRUE(multiply_expert_rows(poison.args(nans), context, experts).ok());
    const mixture m({.n_tokens = 9, .n_slots = 2, .n_experts = 3, .n_columns = 37});
    guarded_buffer out = m.make_out();
    ASSERT_TRUE(multiply_expert_rows(m.args(out), context, experts).ok());
    EXPECT_EQ(std::memcmp(out.data(), expect(m, nullptr).data(), out.size()), 0);
}

TEST(product_experts, no_tokens_and_no_slots_are_no_work) {
    expert_context experts;
    product_context context;
    const mixture m({.n_tokens = 2, .n_slots = 2, .n_experts = 2});
    guarded_buffer out = m.make_out();
    expert_product_args args = m.args(out);
    args.choice.n_tokens = 0;
    EXPECT_TRUE(multiply_expert_rows(args, context, experts).ok());
    args = m.args(out);
    args.choice.n_slots = 0;
    EXPECT_TRUE(multiply_expert_rows(args, context, experts).ok());
    EXPECT_EQ(out.data()[0], guarded_buffer::k_poison);
}

TEST(product_experts, what_is_wrong_is_named_and_nothing_is_written) {
    const auto message = [](const auto & spoil) {
        mixture m({.n_tokens = 5, .n_slots = 3, .n_experts = 4, .n_columns = 3});
        guarded_buffer out = m.make_out();
        expert_product_args args = m.args(out);
        product_context context;
        spoil(m.chosen, args, context);
        expert_context experts;
        const status result = multiply_expert_rows(args, context, experts);
        EXPECT_EQ(result.code(), status_code::invalid_argument);
        for (size_t i = 0; i < out.size(); ++i) {
            EXPECT_EQ(out.data()[i], guarded_buffer::k_poison);
        }
        return std::string(result.message());
    };
    const auto with_expert = [&](int32_t expert) {
        return message([&](auto & chosen, auto &, auto &) { chosen[4 * 5 + 2] = expert; });
    };
    EXPECT_EQ(with_expert(4), "expert of token 4, slot 2: found 4 of 4");
    EXPECT_EQ(with_expert(-1), "expert of token 4, slot 2: found -1 of 4");
    EXPECT_TRUE(message([](auto &, auto & args, auto &) { args.first.depth = 33; }).starts_with("depth"));
    EXPECT_TRUE(message([](auto &, auto &, auto & context) { context.n_threads = 0; }).starts_with("n_threads"));
}

TEST(product_experts, rows_are_sorted_by_expert_and_then_as_they_came) {
    for (const mixture_case & c : k_cases) {
        const std::vector<int32_t> chosen = choose(c, c.n_slots);
        expert_rows rows;
        ASSERT_TRUE(rows.sort({chosen.data(), c.n_slots, c.n_tokens, c.n_slots, c.n_experts}).ok());
        ASSERT_EQ(rows.size(), c.n_tokens * c.n_slots);
        int64_t index = 0;
        for (int32_t expert = 0; expert < c.n_experts; ++expert) {
            for (int64_t i = 0; i < c.n_tokens * c.n_slots; ++i) {
                if (chosen[static_cast<size_t>(i)] == expert) {
                    ASSERT_EQ(rows.expert_of(index), expert);
                    ASSERT_EQ(rows[index].token * c.n_slots + rows[index].slot, i) << c.label();
                    ++index;
                }
            }
            ASSERT_EQ(rows.end_of(expert), index) << c.label();
        }
    }
}

TEST(product_experts, stretches_cut_no_expert_that_fits_into_one) {
    const mixture_case c{.n_tokens = 200, .n_slots = 2, .n_experts = 30};
    const std::vector<int32_t> chosen = choose(c, c.n_slots);
    expert_rows rows;
    ASSERT_TRUE(rows.sort({chosen.data(), c.n_slots, c.n_tokens, c.n_slots, c.n_experts}).ok());
    for (const int64_t most : {1, 10, 30, 399, 400, 1000}) {
        for (int64_t begin = 0; begin < rows.size();) {
            const int64_t end = rows.stretch_end(begin, most);
            ASSERT_GT(end, begin);
            ASSERT_LE(end, std::min(begin + most, rows.size()));
            const bool cuts = end < rows.end_of(rows.expert_of(end - 1));
            EXPECT_TRUE(!cuts || rows.expert_of(begin) == rows.expert_of(end - 1)) << most << " at " << begin;
            begin = end;
        }
    }
}

}  // namespace
}  // namespace tmx::test
