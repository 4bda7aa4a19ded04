// The table of what each implementation covers, and the comparison with what a node needs.
#include "trianglemix/kernel_features.h"

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "trianglemix/cuda_attention.h"

namespace tmx {
namespace {

constexpr dtype k_types[] = {dtype::f32, dtype::f16, dtype::bf16, dtype::q8_0, dtype::q4_0};

attention_needs simple(dtype type) {
    return {.k_type = type, .v_type = type, .d_qk = 128, .d_v = 64, .n_head = 8, .n_head_kv = 2, .n_q = 5, .n_kv = 7};
}

std::string text(const kernel_features & has, const attention_needs & needs) {
    const auto mismatch = first_mismatch(has, needs);
    return mismatch ? mismatch->text : "";
}

// The GPU's row without any option.
kernel_features without_options() {
    kernel_features has = k_cuda_features;
    has.logit_softcap = has.sink_logit = has.alibi_slope = has.masked_segments = false;
    return has;
}

TEST(KernelFeatures, TypesOfKeysAndValues) {
    for (const dtype type : k_types) {
        const bool is_f32 = type == dtype::f32;
        EXPECT_EQ(text(k_cpu_features, simple(type)), "");
        EXPECT_EQ(text(k_cuda_features, simple(type)), is_f32 ? "f32 keys or values" : "");
        EXPECT_EQ(text(k_probe_features, simple(type)).empty(), is_f32);
        for (const dtype other : k_types) {
            attention_needs mixed = simple(type);
            mixed.v_type = other;
            EXPECT_EQ(text(k_cpu_features, mixed), "");
            const bool bf16_alone = (type == dtype::bf16) != (other == dtype::bf16);
            EXPECT_EQ(text(k_cuda_features, mixed), is_f32 || other == dtype::f32 ? "f32 keys or values"
                                                    : bf16_alone ? "bf16 mixed with another type of keys or values"
                                                                 : "");
        }
    }
    EXPECT_EQ(text(k_cpu_features, simple(static_cast<dtype>(77))), "keys or values of no dtype");
}

TEST(KernelFeatures, HeadDimensions) {
    const std::string told = "head dimension is not a multiple of 16 in 16..256";
    for (const int64_t good : {16, 48, 96, 112, 256}) {
        attention_needs needs = simple(dtype::f16);
        needs.d_qk = good;
        EXPECT_EQ(text(k_cpu_features, needs), "") << good;
        EXPECT_EQ(text(k_cuda_features, needs), "") << good;
    }
    for (const int64_t bad : {-16, 0, 8, 72, 272, 576}) {
        for (int64_t attention_needs::*which : {&attention_needs::d_qk, &attention_needs::d_v}) {
            attention_needs needs = simple(dtype::f16);
            needs.*which = bad;
            EXPECT_EQ(text(k_cpu_features, needs), told) << bad;
            EXPECT_EQ(text(k_cuda_features, needs), told) << bad;
            needs.k_type = needs.v_type = dtype::f32;
            EXPECT_EQ(text(k_probe_features, needs), told) << bad;
        }
    }
    attention_needs blocks = simple(dtype::q8_0);
    blocks.d_v = 48;
    EXPECT_EQ(text(k_cpu_features, blocks), "head dimension is not a multiple of the type's block");
}

TEST(KernelFeatures, Heads) {
    for (const auto & [n_head, n_head_kv] : {std::pair{9, 2}, {0, 2}, {8, 0}, {8, -2}}) {
        attention_needs needs = simple(dtype::f16);
        needs.n_head = n_head;
        needs.n_head_kv = n_head_kv;
        const auto mismatch = first_mismatch(k_cpu_features, needs);
        ASSERT_TRUE(mismatch);
        EXPECT_EQ(mismatch->what, attention_feature::heads);
        EXPECT_STREQ(mismatch->text, "query heads are not a multiple of key heads");
    }
}

// Every need that is not a type or a shape, on its own and with the ones behind it: the first one is named.
TEST(KernelFeatures, TheFirstMismatchIsNamed) {
    const std::vector<std::pair<std::string, std::function<void(attention_needs &)>>> needs_in_order = {
        {"logit softcap", [](attention_needs & n) { n.logit_softcap = true; }},
        {"sink logits", [](attention_needs & n) { n.sink_logit = true; }},
        {"ALiBi slopes", [](attention_needs & n) { n.alibi_slope = true; }},
        {"2^30 rows, keys, heads or streams, or more", [](attention_needs & n) { n.n_kv = int64_t{1} << 30; }},
        {"masked segment", [](attention_needs & n) { n.masked_segments = true; }}};
    attention_needs all = simple(dtype::f16);
    for (size_t i = needs_in_order.size(); i-- > 0;) {
        attention_needs one = simple(dtype::f16);
        needs_in_order[i].second(one);
        needs_in_order[i].second(all);
        EXPECT_EQ(text(without_options(), one), needs_in_order[i].first);
        EXPECT_EQ(text(without_options(), all), needs_in_order[i].first);
        EXPECT_EQ(text(k_cpu_features, one), "");
    }
    all.d_v = 8;
    EXPECT_EQ(text(without_options(), all), k_head_dims.text);
}

TEST(KernelFeatures, TheGpuHasSinksAndSoftcap) {
    attention_needs needs = simple(dtype::f16);
    needs.sink_logit = needs.logit_softcap = true;
    EXPECT_EQ(text(k_cuda_features, needs), "");
    needs.alibi_slope = true;
    EXPECT_EQ(text(k_cuda_features, needs), "ALiBi slopes");
}

TEST(KernelFeatures, NeedsOfACall) {
    const float numbers[8] = {};
    attention_args args;
    args.n_head = 8;
    args.n_head_kv = 2;
    args.d_qk = args.d_v = 128;
    const auto told = [](const attention_args & a) {
        const char * why = cuda_declines(a);
        return std::string(why != nullptr ? why : "");
    };
    EXPECT_EQ(told(args), "");
    const uint16_t mask[1] = {};
    args.mask = mask;
    EXPECT_EQ(told(args), "");
    std::vector<attention_segment> segments(2);
    EXPECT_FALSE(first_mismatch(k_cuda_features, needs_of(args, segments)));
    segments[1].masked = true;
    EXPECT_EQ(text(k_cuda_features, needs_of(args, segments)), "masked segment");
    args.alibi_slope = numbers;
    EXPECT_EQ(told(args), "ALiBi slopes");
    args.sink_logit = numbers;
    EXPECT_EQ(told(args), "ALiBi slopes");
    EXPECT_EQ(text(without_options(), needs_of(args)), "sink logits");
    args.logit_softcap = 50;
    EXPECT_EQ(told(args), "ALiBi slopes");
    EXPECT_EQ(text(without_options(), needs_of(args)), "logit softcap");
    for (int64_t attention_args::*size : {&attention_args::n_q, &attention_args::n_kv, &attention_args::n_batch}) {
        attention_args large;
        large.n_head = large.n_head_kv = 1;
        large.d_qk = large.d_v = 64;
        large.*size = (int64_t{1} << 30) - 1;
        EXPECT_EQ(told(large), "");
        large.*size += 1;
        EXPECT_EQ(told(large), k_cuda_features.sizes.text);
    }
}

}  // namespace
}  // namespace tmx
