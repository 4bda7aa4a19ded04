// Nodes as the CPU device computes them: what is counted, and what is an error and no crash.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <vector>

#include "glue/accel_device.h"
#include "glue/products/product_evaluator.h"

namespace tmx::test {
namespace {

constexpr product_kind k_kind{weight_type::q8_0, product_arithmetic::host};

class product_evaluator_test : public testing::Test {
  protected:
    product_evaluator_test() : context_(ggml_init({size_t{1} << 20, nullptr, false}), ggml_free) {
        weights_ = ggml_new_tensor_3d(context_.get(), GGML_TYPE_Q8_0, 64, 10, 3);
        rows_ = ggml_new_tensor_3d(context_.get(), GGML_TYPE_F32, 64, 1, 5);
        ids_ = ggml_new_tensor_2d(context_.get(), GGML_TYPE_I32, 2, 5);
        for (ggml_tensor * t : {weights_, rows_, ids_}) {
            std::memset(t->data, 0, ggml_nbytes(t));
        }
    }

    ggml_status compute(const ggml_tensor * node) { return product_evaluator(settings_, statistics_).compute(node); }
    ggml_tensor * mixture() { return ggml_mul_mat_id(context_.get(), weights_, rows_, ids_); }

    std::unique_ptr<ggml_context, void (*)(ggml_context *)> context_;
    settings settings_;
    statistics statistics_;
    ggml_tensor * weights_ = nullptr;
    ggml_tensor * rows_ = nullptr;
    ggml_tensor * ids_ = nullptr;
};

TEST_F(product_evaluator_test, operations_are_counted_by_type_of_weights) {
    EXPECT_EQ(compute(mixture()), GGML_STATUS_SUCCESS);
    const product_counts once = statistics_.read().products.at(k_kind);
    EXPECT_EQ(once.nodes, 1);
    EXPECT_EQ(once.flops, 2.0 * 5 * 2 * 10 * 64) << "each token by two experts";
    ggml_tensor * rows = ggml_new_tensor_3d(context_.get(), GGML_TYPE_F32, 64, 7, 3);
    std::memset(rows->data, 0, ggml_nbytes(rows));
    EXPECT_EQ(compute(ggml_mul_mat(context_.get(), weights_, rows)), GGML_STATUS_SUCCESS);
    const product_counts twice = statistics_.read().products.at(k_kind);
    EXPECT_EQ(twice.nodes, 2);
    EXPECT_EQ(twice.flops - once.flops, 2.0 * 3 * 7 * 10 * 64);
}

// Rows that are written between two products, which is told, must not be taken for those of before.
TEST_F(product_evaluator_test, rows_are_rounded_anew_once_they_are_forgotten) {
    ggml_tensor * weights = ggml_new_tensor_2d(context_.get(), GGML_TYPE_Q8_0, 64, 10);
    ggml_tensor * rows = ggml_new_tensor_2d(context_.get(), GGML_TYPE_F32, 64, 7);
    std::vector<float> values(640, 0.5f);
    ggml_quantize_chunk(GGML_TYPE_Q8_0, values.data(), weights->data, 0, 10, 64, nullptr);
    const auto fill = [&](float value) { std::fill_n(static_cast<float *>(rows->data), ggml_nelements(rows), value); };
    product_evaluator evaluator(settings_, statistics_);
    const auto first_value = [&] {
        ggml_tensor * product = ggml_mul_mat(context_.get(), weights, rows);
        EXPECT_EQ(evaluator.compute(product), GGML_STATUS_SUCCESS);
        return static_cast<float *>(product->data)[0];
    };
    fill(1);
    EXPECT_NEAR(first_value(), 32, 0.1);
    EXPECT_NEAR(first_value(), 32, 0.1) << "the same rows";
    fill(2);
    evaluator.forget_rows();
    EXPECT_NEAR(first_value(), 64, 0.2);
}

// The device itself: between two products of the same tensor of rows a norm replaces these rows where they are.
TEST_F(product_evaluator_test, rows_that_a_node_between_replaces_are_rounded_anew) {
    const std::unique_ptr<ggml_backend, decltype(&ggml_backend_free)> backend(
        ggml_backend_dev_init(accel_device(nullptr), nullptr), ggml_backend_free);
    ASSERT_NE(backend, nullptr);
    ggml_tensor * weights = ggml_new_tensor_2d(context_.get(), GGML_TYPE_Q8_0, 64, 10);
    const std::vector<float> halves(640, 0.5f);
    ggml_quantize_chunk(GGML_TYPE_Q8_0, halves.data(), weights->data, 0, 10, 64, nullptr);
    ggml_tensor * rows = ggml_new_tensor_2d(context_.get(), GGML_TYPE_F32, 64, 7);
    std::fill_n(static_cast<float *>(rows->data), ggml_nelements(rows), 4.0f);
    ggml_tensor * before = ggml_mul_mat(context_.get(), weights, rows);
    ggml_tensor * again = ggml_mul_mat(context_.get(), weights, rows);
    ggml_tensor * after = ggml_mul_mat(context_.get(), weights, rows);
    ggml_cgraph * graph = ggml_new_graph(context_.get());
    for (ggml_tensor * node : {before, again, ggml_rms_norm_inplace(context_.get(), rows, 0), after}) {
        ggml_build_forward_expand(graph, node);
    }
    ASSERT_EQ(ggml_backend_graph_compute(backend.get(), graph), GGML_STATUS_SUCCESS);
    const auto first_value = [](const ggml_tensor * t) { return static_cast<float *>(t->data)[0]; };
    EXPECT_NEAR(first_value(before), 64 * 0.5 * 4, 0.5);
    EXPECT_EQ(first_value(again), first_value(before));
    EXPECT_NEAR(first_value(after), 64 * 0.5 * 1, 0.2);
}

TEST_F(product_evaluator_test, an_expert_that_there_is_not_fails_the_node) {
    for (const int32_t expert : {-1, 3}) {
        static_cast<int32_t *>(ids_->data)[7] = expert;
        EXPECT_EQ(compute(mixture()), GGML_STATUS_FAILED);
    }
    EXPECT_TRUE(statistics_.read().products.empty());
}

}  // namespace
}  // namespace tmx::test
