// Which norms are claimed, how their tensors are seen, and which two nodes are computed as one.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <memory>

#include "glue/products/norm_evaluator.h"
#include "glue/products/norm_view.h"

namespace tmx::test {
namespace {

class norm_claim_test : public testing::Test {
  protected:
    norm_claim_test() : context_(ggml_init({size_t{4} << 20, nullptr, false}), ggml_free) {}

    ggml_tensor * tensor(int64_t width, int64_t n1, int64_t n2 = 1) {
        ggml_tensor * t = ggml_new_tensor_3d(context_.get(), GGML_TYPE_F32, width, n1, n2);
        for (int64_t i = 0; i < ggml_nelements(t); ++i) {
            static_cast<float *>(t->data)[i] = std::sin(static_cast<float>(i) * 0.7f + 0.3f);
        }
        return t;
    }
    ggml_tensor * norm(ggml_tensor * rows) { return ggml_rms_norm(context_.get(), rows, 1e-5f); }
    ggml_tensor * times(ggml_tensor * a, ggml_tensor * b) { return ggml_mul(context_.get(), a, b); }

    ggml_cgraph * graph_of(std::initializer_list<ggml_tensor *> outputs) {
        ggml_cgraph * graph = ggml_new_graph(context_.get());
        for (ggml_tensor * output : outputs) {
            ggml_build_forward_expand(graph, output);
        }
        return graph;
    }

    // Computes all nodes. Returns how often a call computed two.
    int compute(ggml_cgraph * graph) {
        norm_evaluator evaluator(settings_, statistics_);
        int pairs = 0;
        for (int i = 0, n_computed = 0; i < graph->n_nodes; i += n_computed) {
            EXPECT_EQ(evaluator.compute(graph, i, n_computed), GGML_STATUS_SUCCESS);
            pairs += n_computed == 2;
        }
        return pairs;
    }

    static double expected(const ggml_tensor * rows, int64_t row, int64_t i) {
        const float * values = static_cast<const float *>(rows->data) + row * rows->ne[0];
        double sum = 0;
        for (int64_t k = 0; k < rows->ne[0]; ++k) {
            sum += static_cast<double>(values[k]) * static_cast<double>(values[k]);
        }
        return static_cast<double>(values[i]) / std::sqrt(sum / static_cast<double>(rows->ne[0]) + 1e-5);
    }

    std::unique_ptr<ggml_context, void (*)(ggml_context *)> context_;
    settings settings_;
    statistics statistics_;
};

TEST_F(norm_claim_test, norms_and_their_products_with_a_vector_are_norms) {
    ggml_tensor * rows = tensor(64, 80);
    ggml_tensor * vector = tensor(64, 1);
    EXPECT_TRUE(is_norm(norm(rows)));
    EXPECT_TRUE(is_norm(times(norm(rows), vector)));
    EXPECT_FALSE(is_norm(times(rows, vector))) << "no norm";
    EXPECT_FALSE(is_norm(times(norm(rows), rows))) << "no vector";
    EXPECT_FALSE(is_norm(times(norm(rows), tensor(1, 1)))) << "of another width";
    EXPECT_FALSE(is_norm(times(norm(rows), norm(vector)))) << "weights that are a result";
    EXPECT_FALSE(is_norm(ggml_norm(context_.get(), rows, 1e-5f)));
}

TEST_F(norm_claim_test, tokens_bound_the_claim) {
    EXPECT_EQ(why_norm_declined(norm(tensor(64, 63)), 64), norm_decline::rows);
    EXPECT_FALSE(why_norm_declined(norm(tensor(64, 64)), 64));
    EXPECT_FALSE(why_norm_declined(times(norm(tensor(64, 64)), tensor(64, 1)), 64));
    EXPECT_EQ(why_norm_declined(times(norm(tensor(64, 63)), tensor(64, 1)), 64), norm_decline::rows);
    const auto heads = [&](int64_t n_heads, int64_t n_tokens) {
        return norm(ggml_reshape_3d(context_.get(), tensor(16 * n_heads, n_tokens), 16, n_heads, n_tokens));
    };
    EXPECT_EQ(why_norm_declined(heads(128, 1), 64), norm_decline::rows) << "one token, however many heads";
    EXPECT_EQ(why_norm_declined(heads(8, 63), 64), norm_decline::rows);
    EXPECT_FALSE(why_norm_declined(heads(8, 64), 64));
    EXPECT_FALSE(why_norm_impossible(heads(8, 1)));
}

TEST_F(norm_claim_test, what_the_kernels_cannot_take_is_declined_with_its_reason) {
    ggml_backend_buffer_type elsewhere{};  // does not say that its memory can be read as it is
    ggml_backend_buffer buffer{};
    buffer.buft = &elsewhere;
    const auto changed = [&](const std::function<void(ggml_tensor *)> & change) {
        ggml_tensor * op = times(norm(tensor(64, 80)), tensor(64, 1));
        change(op);
        return why_norm_declined(op, 64);
    };
    EXPECT_FALSE(changed([](ggml_tensor *) {}));
    EXPECT_EQ(changed([](ggml_tensor * op) { op->type = GGML_TYPE_F16; }), norm_decline::types);
    EXPECT_EQ(changed([](ggml_tensor * op) { op->src[0]->type = GGML_TYPE_F16; }), norm_decline::types);
    EXPECT_EQ(changed([](ggml_tensor * op) { op->src[1]->type = GGML_TYPE_F16; }), norm_decline::types);
    EXPECT_EQ(changed([](ggml_tensor * op) { op->nb[0] = 8; }), norm_decline::layout);
    EXPECT_EQ(changed([](ggml_tensor * op) { op->nb[2]++; }), norm_decline::layout);
    EXPECT_EQ(changed([](ggml_tensor * op) { op->src[0]->nb[1]++; }), norm_decline::layout);
    EXPECT_EQ(changed([](ggml_tensor * op) { op->src[1]->nb[0] = 8; }), norm_decline::layout);
    EXPECT_EQ(changed([&](ggml_tensor * op) { op->src[1]->buffer = &buffer; }), norm_decline::memory);
}

TEST_F(norm_claim_test, a_norm_and_its_product_are_computed_as_one) {
    ggml_tensor * rows = tensor(48, 70);
    ggml_tensor * vector = tensor(48, 1);
    for (ggml_tensor * product : {times(norm(rows), vector), times(norm(rows), vector)}) {
        EXPECT_EQ(compute(graph_of({product})), 1);
        for (const int64_t row : {0, 33, 69}) {
            for (int64_t i = 0; i < 48; ++i) {
                const double should =
                    expected(rows, row, i) * static_cast<double>(static_cast<float *>(vector->data)[i]);
                EXPECT_NEAR(static_cast<float *>(product->data)[row * 48 + i], should, 1e-6);
            }
        }
    }
    EXPECT_EQ(statistics_.read().norms.nodes, 4);
}

TEST_F(norm_claim_test, a_norm_that_others_use_too_is_computed_alone) {
    ggml_tensor * rows = tensor(48, 70);
    ggml_tensor * normed = norm(rows);
    ggml_tensor * product = times(normed, tensor(48, 1));
    ggml_tensor * other = times(normed, tensor(48, 1));
    EXPECT_EQ(compute(graph_of({product, other})), 0);
    for (int64_t i = 0; i < 48; ++i) {
        EXPECT_NEAR(static_cast<float *>(normed->data)[48 + i], expected(rows, 1, i), 1e-6);
        EXPECT_EQ(static_cast<float *>(other->data)[48 + i], static_cast<float *>(product->data)[48 + i]);
    }
}

TEST_F(norm_claim_test, a_result_that_lies_across_the_rows_is_computed_alone) {
    ggml_tensor * rows = tensor(48, 70);
    ggml_tensor * product = times(norm(rows), tensor(48, 1));
    ggml_cgraph * graph = graph_of({product});
    EXPECT_TRUE(multiplied_next(graph, 0));
    void * apart = product->data;
    product->data = static_cast<float *>(rows->data) + 48;
    EXPECT_FALSE(multiplied_next(graph, 0)) << "a row of it would replace the next of the rows";
    product->data = rows->data;
    EXPECT_TRUE(multiplied_next(graph, 0)) << "each row replaces itself";
    product->data = apart;
}

}  // namespace
}  // namespace tmx::test
