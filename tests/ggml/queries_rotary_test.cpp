// What is found of the RoPE behind an attention node's queries.
#include "glue/queries_rotary.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

namespace tmx::test {
namespace {

class queries_rotary_test : public testing::Test {
  protected:
    queries_rotary_test() : context_(ggml_init({size_t{1} << 20, nullptr, true}), ggml_free) {
        positions_ = ggml_new_tensor_1d(ctx(), GGML_TYPE_I32, k_rows);
        q_ = ggml_new_tensor_3d(ctx(), GGML_TYPE_F32, k_dim, 4, k_rows);
    }

    ggml_context * ctx() { return context_.get(); }
    ggml_tensor * rope(ggml_tensor * q, int n_dims, int mode) { return ggml_rope(ctx(), q, positions_, n_dims, mode); }

    layer_rotary found(ggml_tensor * q, ggml_type k_type = GGML_TYPE_F16) {
        ggml_tensor * k = ggml_new_tensor_3d(ctx(), k_type, q->ne[0], 256, 2);
        ggml_tensor * v = ggml_new_tensor_3d(ctx(), k_type, q->ne[0], 256, 2);
        ggml_tensor * node =
            ggml_flash_attn_ext(ctx(), ggml_permute(ctx(), q, 0, 2, 1, 3), k, v, nullptr, 1.0f, 0.0f, 0.0f);
        return rotary_of_queries(node);
    }

    static constexpr int64_t k_dim = 64;
    static constexpr int64_t k_rows = 80;
    std::unique_ptr<ggml_context, void (*)(ggml_context *)> context_;
    ggml_tensor * positions_ = nullptr;
    ggml_tensor * q_ = nullptr;
};

TEST_F(queries_rotary_test, both_layouts_and_how_many_dimensions_turn) {
    EXPECT_EQ(found(rope(q_, 64, GGML_ROPE_TYPE_NORMAL)).layout, (rotary_layout{rotary_pairs::neighbours, 64}));
    EXPECT_EQ(found(rope(q_, 32, GGML_ROPE_TYPE_NEOX)).layout, (rotary_layout{rotary_pairs::halves, 32}));
    int sections[] = {16, 8, 8, 0};
    ggml_tensor * four = ggml_new_tensor_1d(ctx(), GGML_TYPE_I32, k_rows * 4);
    ggml_tensor * by_sections = ggml_rope_multi(ctx(), q_, four, nullptr, 64, sections, GGML_ROPE_TYPE_MROPE, 0, 1e4f,
                                                1.0f, 0.0f, 1.0f, 0.0f, 0.0f);
    EXPECT_EQ(found(by_sections).layout, (rotary_layout{rotary_pairs::halves, 64}));
}

TEST_F(queries_rotary_test, what_leaves_dimensions_alone_may_follow) {
    ggml_tensor * q = rope(q_, 64, GGML_ROPE_TYPE_NEOX);
    q = ggml_scale(ctx(), q, 0.5f);
    q = ggml_reshape_3d(ctx(), ggml_cont(ctx(), ggml_reshape_2d(ctx(), q, k_dim * 4, k_rows)), k_dim, 4, k_rows);
    EXPECT_EQ(found(q).layout, (rotary_layout{rotary_pairs::halves, 64}));
}

TEST_F(queries_rotary_test, what_mixes_or_lacks_them_is_unknown) {
    EXPECT_FALSE(found(q_).layout.known());
    EXPECT_EQ(std::string(found(q_).unknown_because), "rotary_unknown");
    ggml_tensor * half = ggml_new_tensor_3d(ctx(), GGML_TYPE_F32, k_dim / 2, 4, k_rows);
    ggml_tensor * beside = ggml_concat(ctx(), half, rope(half, 32, GGML_ROPE_TYPE_NORMAL), 0);
    EXPECT_FALSE(found(beside).layout.known());
    ggml_tensor * part =
        ggml_view_3d(ctx(), rope(q_, 64, GGML_ROPE_TYPE_NORMAL), k_dim / 2, 4, k_rows, q_->nb[1], q_->nb[2], 0);
    EXPECT_FALSE(found(part).layout.known()) << "other dimensions than those that were paired";
}

TEST_F(queries_rotary_test, a_product_before_a_quantised_cache_is_told_apart) {
    ggml_tensor * spread = ggml_mul_mat(ctx(), ggml_new_tensor_2d(ctx(), GGML_TYPE_F32, k_dim, k_dim),
                                        rope(q_, 64, GGML_ROPE_TYPE_NORMAL));
    EXPECT_FALSE(found(spread, GGML_TYPE_Q8_0).layout.known());
    EXPECT_EQ(std::string(found(spread, GGML_TYPE_Q8_0).unknown_because), "rotated_cache");
    EXPECT_EQ(std::string(found(spread, GGML_TYPE_F16).unknown_because), "rotary_unknown");
}

}  // namespace
}  // namespace tmx::test
