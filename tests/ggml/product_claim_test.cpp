// Which matrix products are claimed, and how their tensors are seen.
#include <gtest/gtest.h>

#include <functional>
#include <memory>

#include "glue/products/product_view.h"

namespace tmx::test {
namespace {

product_rules from_64_rows() {
    product_rules rules;
    rules.by_type.fill({64, product_arithmetic::host});
    return rules;
}

class product_claim_test : public testing::Test {
  protected:
    product_claim_test() : context_(ggml_init({size_t{1} << 20, nullptr, true}), ggml_free) {}

    ggml_tensor * node(ggml_type type = GGML_TYPE_Q8_0, int64_t n_rows = 80) {
        weights_ = ggml_new_tensor_2d(context_.get(), type, 512, 96);
        rows_ = ggml_new_tensor_2d(context_.get(), GGML_TYPE_F32, 512, n_rows);
        return ggml_mul_mat(context_.get(), weights_, rows_);
    }

    // Two of eight experts a token.
    ggml_tensor * mixture(ggml_type type = GGML_TYPE_Q8_0, int64_t n_tokens = 64, int64_t n_rows_a_token = 1) {
        weights_ = ggml_new_tensor_3d(context_.get(), type, 512, 96, 8);
        rows_ = ggml_new_tensor_3d(context_.get(), GGML_TYPE_F32, 512, n_rows_a_token, n_tokens);
        ids_ = ggml_view_2d(context_.get(), ggml_new_tensor_2d(context_.get(), GGML_TYPE_I32, 8, n_tokens), 2, n_tokens,
                            8 * sizeof(int32_t), 0);
        return ggml_mul_mat_id(context_.get(), weights_, rows_, ids_);
    }

    std::unique_ptr<ggml_context, void (*)(ggml_context *)> context_;
    ggml_tensor * weights_ = nullptr;
    ggml_tensor * rows_ = nullptr;
    ggml_tensor * ids_ = nullptr;
};

TEST_F(product_claim_test, formats_are_the_size_that_ggml_says) {
    for (int type = 0; type < GGML_TYPE_COUNT; ++type) {
        if (const auto ours = product_weights(static_cast<ggml_type>(type))) {
            EXPECT_EQ(weight_block_elems(*ours), ggml_blck_size(static_cast<ggml_type>(type)));
            EXPECT_EQ(weight_block_bytes(*ours), static_cast<int64_t>(ggml_type_size(static_cast<ggml_type>(type))));
        }
    }
}

TEST_F(product_claim_test, types_that_the_kernels_read_are_claimed) {
    for (const ggml_type type :
         {GGML_TYPE_Q8_0, GGML_TYPE_Q4_0, GGML_TYPE_Q4_1, GGML_TYPE_Q5_0, GGML_TYPE_Q5_1, GGML_TYPE_Q4_K,
          GGML_TYPE_Q5_K, GGML_TYPE_Q6_K, GGML_TYPE_F32, GGML_TYPE_F16, GGML_TYPE_BF16}) {
        EXPECT_FALSE(why_product_declined(node(type), from_64_rows())) << ggml_type_name(type);
    }
    for (const ggml_type type : {GGML_TYPE_Q2_K, GGML_TYPE_IQ4_NL}) {
        EXPECT_EQ(why_product_declined(node(type), from_64_rows()), product_decline::weights) << ggml_type_name(type);
    }
    EXPECT_EQ(why_product_declined(node(), product_rules()), product_decline::weights) << "no rule takes any";
}

TEST_F(product_claim_test, rows_bound_the_claim) {
    EXPECT_EQ(why_product_declined(node(GGML_TYPE_Q8_0, 63), from_64_rows()), product_decline::rows);
    EXPECT_FALSE(why_product_declined(node(GGML_TYPE_Q8_0, 64), from_64_rows()));
    EXPECT_FALSE(why_product_impossible(node(GGML_TYPE_Q8_0, 1)));
}

TEST_F(product_claim_test, what_the_kernels_cannot_take_is_declined_with_its_reason) {
    const auto changed = [&](const std::function<void(ggml_tensor *)> & change) {
        ggml_tensor * op = node();
        change(op);
        return why_product_declined(op, from_64_rows());
    };
    EXPECT_EQ(changed([&](ggml_tensor *) { rows_->type = GGML_TYPE_F16; }), product_decline::types);
    EXPECT_EQ(changed([&](ggml_tensor * op) { op->type = GGML_TYPE_F16; }), product_decline::types);
    EXPECT_EQ(changed([&](ggml_tensor *) { rows_->nb[0] = 8; }), product_decline::layout);
    EXPECT_EQ(changed([&](ggml_tensor *) { rows_->nb[1]++; }), product_decline::layout);
    EXPECT_EQ(changed([&](ggml_tensor *) { rows_->nb[1] = 0; }), product_decline::layout);
    EXPECT_EQ(changed([&](ggml_tensor *) { weights_->nb[1]++; }), product_decline::layout);
    EXPECT_EQ(changed([&](ggml_tensor * op) { op->nb[0] = 8; }), product_decline::layout);
    EXPECT_EQ(changed([&](ggml_tensor *) { weights_->op = GGML_OP_PERMUTE; }), product_decline::computed);
    EXPECT_EQ(changed([&](ggml_tensor * op) { op->op_params[1] = GGML_HINT_SRC0_IS_HADAMARD; }), product_decline::hint);
}

TEST_F(product_claim_test, weights_that_the_host_repacked_stay_the_hosts) {
    ggml_backend_buffer_type repacked{};  // does not say that its memory can be read as it is
    ggml_backend_buffer buffer{};
    buffer.buft = &repacked;
    ggml_tensor * op = node();
    weights_->buffer = &buffer;
    EXPECT_EQ(why_product_declined(op, from_64_rows()), product_decline::memory);
    buffer.buft = ggml_backend_cpu_buffer_type();
    EXPECT_FALSE(why_product_declined(op, from_64_rows()));
}

TEST_F(product_claim_test, matrices_of_a_batch_share_weights) {
    ggml_tensor * weights = ggml_new_tensor_4d(context_.get(), GGML_TYPE_Q8_0, 64, 40, 2, 1);
    ggml_tensor * rows = ggml_new_tensor_4d(context_.get(), GGML_TYPE_F32, 64, 70, 4, 3);
    ggml_tensor * op = ggml_mul_mat(context_.get(), weights, rows);
    char memory[1] = {};
    weights->data = rows->data = op->data = memory;
    const product_args args = product_of(op, 3, 2);
    EXPECT_EQ(args.weights, memory + weights->nb[2]);
    EXPECT_EQ(reinterpret_cast<const char *>(args.rows), memory + 3 * rows->nb[2] + 2 * rows->nb[3]);
    EXPECT_EQ(reinterpret_cast<char *>(args.out), memory + 3 * op->nb[2] + 2 * op->nb[3]);
    EXPECT_EQ(args.n_rows, 70);
    EXPECT_EQ(args.n_columns, 40);
    EXPECT_EQ(args.depth, 64);
    EXPECT_EQ(args.row_stride, 64);
    EXPECT_EQ(args.out_stride, 40);
    EXPECT_EQ(args.weight_stride_bytes, 68);
}

TEST_F(product_claim_test, rows_of_an_expert_bound_the_claim_of_a_mixture) {
    EXPECT_EQ(why_product_declined(mixture(GGML_TYPE_Q8_0, 63), from_64_rows()), product_decline::rows);
    EXPECT_FALSE(why_product_declined(mixture(GGML_TYPE_Q8_0, 64), from_64_rows())) << "sixteen an expert, on average";
    EXPECT_EQ(why_product_declined(mixture(GGML_TYPE_Q4_K, 255), from_64_rows()), product_decline::rows);
    EXPECT_FALSE(why_product_declined(mixture(GGML_TYPE_Q4_K, 256), from_64_rows())) << "sixty-four an expert";
    EXPECT_FALSE(why_product_impossible(mixture(GGML_TYPE_Q8_0, 1)));
    EXPECT_EQ(why_product_declined(mixture(GGML_TYPE_IQ4_NL), from_64_rows()), product_decline::weights);
}

TEST_F(product_claim_test, what_the_kernels_cannot_take_of_a_mixture_is_declined_with_its_reason) {
    const auto changed = [&](const std::function<void(ggml_tensor *)> & change) {
        ggml_tensor * op = mixture();
        change(op);
        return why_product_declined(op, from_64_rows());
    };
    EXPECT_FALSE(changed([](ggml_tensor *) {}));
    EXPECT_EQ(changed([&](ggml_tensor *) { rows_->type = GGML_TYPE_F16; }), product_decline::types);
    EXPECT_EQ(changed([&](ggml_tensor *) { rows_->nb[2]++; }), product_decline::layout);
    EXPECT_EQ(changed([&](ggml_tensor *) { rows_->nb[2] = 0; }), product_decline::layout);
    EXPECT_EQ(changed([&](ggml_tensor * op) { op->nb[2]++; }), product_decline::layout);
    EXPECT_EQ(changed([&](ggml_tensor *) { ids_->nb[0] = 8; }), product_decline::layout);
    EXPECT_EQ(changed([&](ggml_tensor *) { ids_->nb[1]++; }), product_decline::layout);
    EXPECT_EQ(changed([&](ggml_tensor *) { ids_->ne[0] = 4, rows_->ne[1] = 2; }), product_decline::layout);
    ggml_backend_buffer_type repacked{};
    ggml_backend_buffer buffer{};
    buffer.buft = &repacked;
    EXPECT_EQ(changed([&](ggml_tensor *) { weights_->buffer = &buffer; }), product_decline::memory);
}

TEST_F(product_claim_test, slots_of_a_token_share_its_row_or_have_one_each) {
    char memory[1] = {};
    for (const int64_t n_rows_a_token : {1, 2}) {
        ggml_tensor * op = mixture(GGML_TYPE_Q8_0, 64, n_rows_a_token);
        weights_->data = rows_->data = ids_->data = op->data = memory;
        const expert_product_args args = expert_product_of(op);
        EXPECT_EQ(args.first.depth, 512);
        EXPECT_EQ(args.first.n_columns, 96);
        EXPECT_EQ(args.first.weight_stride_bytes, 544);
        EXPECT_EQ(args.first.row_stride, 512 * n_rows_a_token);
        EXPECT_EQ(args.first.out_stride, 192);
        EXPECT_EQ(args.expert_stride_bytes, 544 * 96);
        EXPECT_EQ(args.row_slot_stride, n_rows_a_token == 1 ? 0 : 512);
        EXPECT_EQ(args.out_slot_stride, 96);
        EXPECT_EQ(args.choice.token_stride, 8);
        EXPECT_EQ(args.choice.n_tokens, 64);
        EXPECT_EQ(args.choice.n_slots, 2);
        EXPECT_EQ(args.choice.n_experts, 8);
    }
}

}  // namespace
}  // namespace tmx::test
