// Which attention nodes are claimed, and how their tensors are seen.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <memory>

#include "glue/fattn_view.h"
#include "glue/graph_tensors.h"
#include "trianglemix/backend_control.h"

namespace tmx::test {
namespace {

constexpr int64_t k_rows = TMX_DEFAULT_MIN_ROWS;

struct node_options {
    int64_t d_qk = 64;
    int64_t d_v = 64;
    int64_t n_head = 6;
    int64_t n_head_kv = 2;
    int64_t n_rows = 80;
    int64_t n_kv = 256;
    int64_t n_stream = 1;
    ggml_type k_type = GGML_TYPE_F16;
    ggml_type v_type = GGML_TYPE_F16;
    bool mask = true;
    bool sinks = false;
    float max_bias = 0;
    float softcap = 0;
};

class claim_test : public testing::Test {
  protected:
    claim_test() : context_(ggml_init({size_t{1} << 20, nullptr, true}), ggml_free) {}

    ggml_tensor * node(const node_options & o) {
        ggml_context * ctx = context_.get();
        q_ = ggml_permute(ctx, ggml_new_tensor_4d(ctx, GGML_TYPE_F32, o.d_qk, o.n_head, o.n_rows, o.n_stream), 0, 2, 1,
                          3);
        k_ = cache(o.k_type, o.d_qk, o, "cache_k_l3");
        v_ = cache(o.v_type, o.d_v, o, "cache_v_l3");
        mask_ = o.mask ? ggml_new_tensor_4d(ctx, GGML_TYPE_F16, o.n_kv, o.n_rows, 1, o.n_stream) : nullptr;
        ggml_tensor * op = ggml_flash_attn_ext(ctx, q_, k_, v_, mask_, 0.125f, o.max_bias, o.softcap);
        if (o.sinks) {
            ggml_flash_attn_ext_add_sinks(op, ggml_new_tensor_1d(ctx, GGML_TYPE_F32, o.n_head));
        }
        return op;
    }

    ggml_tensor * cache(ggml_type type, int64_t d, const node_options & o, const char * name) {
        ggml_context * ctx = context_.get();
        ggml_tensor * root = ggml_new_tensor_3d(ctx, type, d * o.n_head_kv, 2 * o.n_kv, o.n_stream);
        ggml_set_name(root, name);
        ggml_tensor * view = ggml_view_4d(ctx, root, d, o.n_head_kv, o.n_kv, o.n_stream, ggml_row_size(type, d),
                                          root->nb[1], root->nb[2], 0);
        return ggml_permute(ctx, view, 0, 2, 1, 3);
    }

    std::unique_ptr<ggml_context, void (*)(ggml_context *)> context_;
    ggml_tensor * q_ = nullptr;
    ggml_tensor * k_ = nullptr;
    ggml_tensor * v_ = nullptr;
    ggml_tensor * mask_ = nullptr;
};

TEST_F(claim_test, prompts_of_every_supported_kind_are_claimed) {
    for (const ggml_type type : {GGML_TYPE_F32, GGML_TYPE_F16, GGML_TYPE_BF16, GGML_TYPE_Q8_0, GGML_TYPE_Q4_0}) {
        EXPECT_FALSE(why_declined(node({.k_type = type, .v_type = type}), k_rows)) << ggml_type_name(type);
        EXPECT_FALSE(why_declined(node({.k_type = type}), k_rows)) << ggml_type_name(type);
    }
    for (const int64_t d : {16, 64, 80, 96, 112, 128, 256}) {
        EXPECT_FALSE(why_declined(node({.d_qk = d, .d_v = d}), k_rows)) << d;
    }
    EXPECT_FALSE(why_declined(node({.d_qk = 192, .d_v = 128}), k_rows));
    EXPECT_FALSE(why_declined(node({.n_stream = 3}), k_rows));
    EXPECT_FALSE(why_declined(node({.mask = false}), k_rows));
    EXPECT_FALSE(why_declined(node({.sinks = true, .max_bias = 8, .softcap = 30}), k_rows));
}

TEST_F(claim_test, rows_bound_the_claim) {
    EXPECT_EQ(why_declined(node({.n_rows = k_rows - 1}), k_rows), decline_reason::rows);
    EXPECT_FALSE(why_declined(node({.n_rows = k_rows}), k_rows));
    EXPECT_FALSE(why_declined(node({.n_rows = 1}), 1));
}

TEST_F(claim_test, softmax_of_a_prompt_without_flash_attention_is_known) {
    const auto softmax = [&](int64_t n_rows, const char * name, bool mask) {
        ggml_tensor * kq = ggml_new_tensor_3d(context_.get(), GGML_TYPE_F32, 512, n_rows, 4);
        ggml_tensor * op = ggml_soft_max_ext(
            context_.get(), kq, mask ? ggml_new_tensor_2d(context_.get(), GGML_TYPE_F16, 512, n_rows) : nullptr, 1, 0);
        ggml_set_name(op, name);
        return op;
    };
    EXPECT_TRUE(softmax_without_flash(softmax(k_rows, "kq_soft_max-3", true), k_rows));
    EXPECT_FALSE(softmax_without_flash(softmax(k_rows - 1, "kq_soft_max-3", true), k_rows));
    EXPECT_FALSE(softmax_without_flash(softmax(k_rows, "ffn_moe_probs-3", true), k_rows));
    EXPECT_FALSE(softmax_without_flash(softmax(k_rows, "kq_soft_max-3", false), k_rows));
}

TEST_F(claim_test, what_the_kernels_cannot_take_is_declined_with_its_reason) {
    EXPECT_EQ(why_declined(node({.k_type = GGML_TYPE_Q5_0, .v_type = GGML_TYPE_F16}), 1), decline_reason::types);
    EXPECT_EQ(why_declined(node({.v_type = GGML_TYPE_Q4_1}), 1), decline_reason::types);
    for (const int64_t d : {8, 40, 72, 272, 512}) {
        EXPECT_EQ(why_declined(node({.d_qk = d}), 1), decline_reason::dims) << d;
        EXPECT_EQ(why_declined(node({.d_v = d}), 1), decline_reason::dims) << d;
    }
    EXPECT_EQ(why_declined(node({.softcap = -1}), 1), decline_reason::extras);
    EXPECT_EQ(why_declined(node({.softcap = NAN}), 1), decline_reason::extras);

    const auto changed = [&](const std::function<void(ggml_tensor *)> & change) {
        ggml_tensor * op = node({.sinks = true});
        change(op);
        return why_declined(op, 1);
    };
    EXPECT_EQ(changed([&](ggml_tensor *) { q_->type = GGML_TYPE_F16; }), decline_reason::types);
    EXPECT_EQ(changed([&](ggml_tensor *) { v_->ne[2] = 1; }), decline_reason::heads);
    EXPECT_EQ(changed([&](ggml_tensor *) { v_->ne[1]++; }), decline_reason::heads);
    EXPECT_EQ(changed([&](ggml_tensor *) { k_->ne[3] = 2; }), decline_reason::heads);
    EXPECT_EQ(changed([&](ggml_tensor *) { q_->ne[2] = 7; }), decline_reason::heads);
    EXPECT_EQ(changed([&](ggml_tensor *) { k_->nb[0] = 4; }), decline_reason::layout);
    EXPECT_EQ(changed([&](ggml_tensor *) { v_->nb[1]++; }), decline_reason::layout);
    EXPECT_EQ(changed([&](ggml_tensor *) { q_->nb[3] += 2; }), decline_reason::layout);
    EXPECT_EQ(changed([&](ggml_tensor *) { mask_->type = GGML_TYPE_F32; }), decline_reason::mask);
    EXPECT_EQ(changed([&](ggml_tensor *) { mask_->ne[0]--; }), decline_reason::mask);
    EXPECT_EQ(changed([&](ggml_tensor *) { mask_->ne[1]--; }), decline_reason::mask);
    EXPECT_EQ(changed([&](ggml_tensor *) { mask_->ne[2] = 3; }), decline_reason::mask);
    EXPECT_EQ(changed([&](ggml_tensor * op) { op->src[4]->ne[0] = 5; }), decline_reason::extras);
    EXPECT_EQ(changed([&](ggml_tensor * op) { op->src[4]->type = GGML_TYPE_F16; }), decline_reason::extras);
}

TEST_F(claim_test, view_in_elements) {
    const fattn_view view(node({.d_qk = 96, .d_v = 64, .n_stream = 3, .k_type = GGML_TYPE_Q8_0, .softcap = 30}));
    const attention_args & a = view.args;
    EXPECT_EQ(a.n_batch, 3);
    EXPECT_EQ(a.n_head, 6);
    EXPECT_EQ(a.n_head_kv, 2);
    EXPECT_EQ(a.n_q, 80);
    EXPECT_EQ(a.n_kv, 256);
    EXPECT_EQ(a.d_qk, 96);
    EXPECT_EQ(a.d_v, 64);
    EXPECT_EQ(a.k_type, dtype::q8_0);
    EXPECT_EQ(a.v_type, dtype::f16);
    EXPECT_EQ(a.q_stride_row, 6 * 96);
    EXPECT_EQ(a.q_stride_head, 96);
    EXPECT_EQ(a.q_stride_batch, 80 * 6 * 96);
    EXPECT_EQ(a.k_stride_row, 2 * 96);
    EXPECT_EQ(a.k_stride_head, 96);
    EXPECT_EQ(a.k_stride_batch, 512 * 2 * 96);
    EXPECT_EQ(a.v_stride_row, 2 * 64);
    EXPECT_EQ(a.v_stride_head, 64);
    EXPECT_EQ(a.v_stride_batch, 512 * 2 * 64);
    EXPECT_EQ(a.out_stride_head, 64);
    EXPECT_EQ(a.out_stride_row, 6 * 64);
    EXPECT_EQ(a.out_stride_batch, 80 * 6 * 64);
    EXPECT_EQ(a.mask_stride_row, 256);
    EXPECT_EQ(a.mask_stride_head, 0);
    EXPECT_EQ(a.mask_stride_batch, 80 * 256);
    EXPECT_FLOAT_EQ(a.scale, 0.125f);
    EXPECT_FLOAT_EQ(a.logit_softcap, 30.0f);
    EXPECT_EQ(a.alibi_slope, nullptr);
    EXPECT_TRUE(view.has_mask);
    EXPECT_FALSE(view.mask_per_head);
}

TEST_F(claim_test, no_mask_means_one_row_of_zeros_for_all) {
    const fattn_view view(node({.mask = false}));
    EXPECT_FALSE(view.has_mask);
    EXPECT_EQ(view.args.mask_stride_row, 0);
    for (int64_t j = 0; j < view.args.n_kv; ++j) {
        ASSERT_EQ(view.args.mask[j], 0);
    }
}

TEST_F(claim_test, alibi_slopes) {
    const fattn_view eight(node({.n_head = 8, .max_bias = 8}));
    for (int h = 0; h < 8; ++h) {
        EXPECT_FLOAT_EQ(eight.args.alibi_slope[h], std::pow(2.0f, static_cast<float>(-h - 1)));
    }
    const fattn_view six(node({.n_head = 6, .max_bias = 8}));
    const double expected[] = {-2, -4, -6, -8, -1, -3};
    for (int h = 0; h < 6; ++h) {
        EXPECT_FLOAT_EQ(six.args.alibi_slope[h], static_cast<float>(std::exp2(expected[h])));
    }
}

TEST_F(claim_test, layer_comes_from_the_cache_name) {
    node({});
    EXPECT_EQ(layer_of_keys(k_), 3);
    EXPECT_EQ(layer_of_keys(q_), -1);
    for (const auto & [name, layer] :
         std::initializer_list<std::pair<const char *, int>>{{"cache_k_l0", 0},
                                                             {"cache_k_l127", 127},
                                                             {"cache_k_l", -1},
                                                             {"cache_k_l-1", -1},
                                                             {"cache_k_l3x", -1},
                                                             {"cache_v_l3", -1},
                                                             {"", -1},
                                                             {"cache_k_l99999999999", -1}}) {
        ggml_set_name(k_->view_src, name);
        EXPECT_EQ(layer_of_keys(k_), layer) << name;
    }
    ggml_set_name(k_->view_src, "cache_k_l3");
    ggml_tensor * cast = ggml_cast(context_.get(), k_, GGML_TYPE_F16);
    EXPECT_EQ(layer_of_keys(cast), 3);
    EXPECT_EQ(cached_keys(cast), k_);
    EXPECT_EQ(key_cache(cast), k_->view_src);
    EXPECT_EQ(layer_of_keys(ggml_permute(context_.get(), ggml_cont(context_.get(), k_), 0, 2, 1, 3)), 3);
    EXPECT_EQ(layer_of_keys(ggml_mul(context_.get(), k_, k_)), -1) << "other keys than the cache's";
    ggml_tensor * no_view = ggml_new_tensor_1d(context_.get(), GGML_TYPE_F16, 64);
    ggml_set_name(no_view, "cache_k_l3");
    EXPECT_EQ(layer_of_keys(no_view), -1);
}

}  // namespace
}  // namespace tmx::test
