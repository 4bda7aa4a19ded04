// Which lookups of embeddings are claimed, and that they give ggml's own bits.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "device_fixture.h"
#include "ggml-cpp.h"
#include "glue/embedding_rows.h"

namespace tmx::test {
namespace {

constexpr int64_t k_width = 512;  // whole blocks of every type

class embedding_rows_test : public device_fixture {
  protected:
    ggml_tensor * weights(enum ggml_type type, int64_t n_rows) {
        ggml_tensor * made = ggml_new_tensor_2d(context_.get(), type, k_width, n_rows);
        std::vector<float> values(static_cast<size_t>(k_width * n_rows));
        for (size_t i = 0; i < values.size(); ++i) {
            values[i] = std::sin(static_cast<float>(i) * 0.7f + 0.3f);
        }
        ggml_quantize_chunk(type, values.data(), made->data, 0, n_rows, k_width, nullptr);
        return made;
    }
    ggml_tensor * ids(const std::vector<int32_t> & values) {
        ggml_tensor * made = ggml_new_tensor_1d(context_.get(), GGML_TYPE_I32, static_cast<int64_t>(values.size()));
        std::memcpy(made->data, values.data(), values.size() * sizeof(int32_t));
        return made;
    }
    ggml_tensor * rows(ggml_tensor * weights, ggml_tensor * ids) { return ggml_get_rows(context_.get(), weights, ids); }
    static std::vector<int32_t> spread(int64_t n, int32_t n_rows) {
        std::vector<int32_t> values(static_cast<size_t>(n));
        for (size_t i = 0; i < values.size(); ++i) {
            values[i] = static_cast<int32_t>(i * 7919 % static_cast<size_t>(n_rows));
        }
        return values;
    }

    ggml_context_ptr context_{ggml_init({size_t{256} << 20, nullptr, false})};
};

TEST_F(embedding_rows_test, many_rows_of_weights_are_claimed) {
    ggml_tensor * table = weights(GGML_TYPE_F16, 100);
    const int64_t enough = (int64_t{16} << 20) / (k_width * 4) + 1;
    EXPECT_TRUE(claims_embeddings(rows(table, ids(spread(enough, 100))), {}));
    EXPECT_FALSE(claims_embeddings(rows(table, ids(spread(enough - 1, 100))), {}));
    EXPECT_TRUE(claims_embeddings(rows(table, ids(spread(8, 100))), 8)) << "as asked";
    EXPECT_FALSE(claims_embeddings(rows(table, ids(spread(7, 100))), 8));
}

TEST_F(embedding_rows_test, other_rows_are_not_claimed) {
    ggml_tensor * table = weights(GGML_TYPE_F32, 100);
    ggml_tensor * few = ids(spread(8, 100));
    EXPECT_TRUE(claims_embeddings(rows(table, few), 1));
    EXPECT_FALSE(claims_embeddings(rows(ggml_scale(context_.get(), table, 2), few), 1)) << "of a result";
    EXPECT_FALSE(claims_embeddings(rows(ggml_view_2d(context_.get(), table, k_width, 50, table->nb[1], 0), few), 1));
    ggml_tensor * tables = ggml_new_tensor_3d(context_.get(), GGML_TYPE_F32, k_width, 4, 2);
    ggml_tensor * two = ggml_new_tensor_2d(context_.get(), GGML_TYPE_I32, 3, 2);
    EXPECT_FALSE(claims_embeddings(rows(tables, two), 1)) << "of several tables";
    ggml_tensor * numbers = ggml_new_tensor_2d(context_.get(), GGML_TYPE_I32, k_width, 4);
    EXPECT_FALSE(claims_embeddings(rows(numbers, few), 1)) << "of whole numbers";
}

TEST_F(embedding_rows_test, are_ggmls_own_bits) {
    const ggml_backend_ptr cpu(ggml_backend_init_by_type(GGML_BACKEND_DEVICE_TYPE_CPU, nullptr));
    for (const enum ggml_type type : {GGML_TYPE_F32, GGML_TYPE_F16, GGML_TYPE_BF16, GGML_TYPE_Q8_0, GGML_TYPE_Q4_0,
                                      GGML_TYPE_Q4_K, GGML_TYPE_Q6_K}) {
        for (const int64_t n : {1, 5, 9001}) {
            context_.reset(ggml_init({size_t{256} << 20, nullptr, false}));
            ggml_tensor * node = rows(weights(type, 300), ids(spread(n, 300)));
            ggml_cgraph * graph = ggml_new_graph(context_.get());
            ggml_build_forward_expand(graph, node);
            ASSERT_EQ(ggml_backend_graph_compute(cpu.get(), graph), GGML_STATUS_SUCCESS);
            const auto * values = static_cast<const char *>(node->data);
            const std::vector<char> expected(values, values + ggml_nbytes(node));
            for (const int n_threads : {1, 3, 16}) {
                std::memset(node->data, 0xff, ggml_nbytes(node));
                ASSERT_TRUE(claims_embeddings(node, 1)) << ggml_type_name(type);
                ASSERT_TRUE(look_up_embeddings(node, n_threads));
                EXPECT_EQ(std::memcmp(node->data, expected.data(), expected.size()), 0)
                    << ggml_type_name(type) << ", " << n << " rows, " << n_threads << " threads";
            }
        }
    }
}

TEST_F(embedding_rows_test, a_token_that_does_not_exist_is_an_error) {
    ggml_tensor * table = weights(GGML_TYPE_F16, 100);
    std::vector<int32_t> values = spread(9000, 100);
    for (const int32_t bad : {100, -1, std::numeric_limits<int32_t>::min()}) {
        values[8000] = bad;
        EXPECT_FALSE(look_up_embeddings(rows(table, ids(values)), 4));
    }
}

}  // namespace
}  // namespace tmx::test
