#include <gtest/gtest.h>

#include <string>

#include "trianglemix/plan.h"

namespace tmx {
namespace {

plan plan_for(const model_shape & model) {
    plan p;
    p.model = model;
    p.layers.resize(static_cast<size_t>(model.n_layer));
    return p;
}

const model_shape k_llama{"llama", 32, 32, 8, 128};

TEST(plan_mismatch, the_model_it_was_made_for_fits) {
    EXPECT_EQ(plan_mismatch(plan_for(k_llama), k_llama), "");
}

TEST(plan_mismatch, names_each_difference) {
    EXPECT_EQ(plan_mismatch(plan_for(k_llama), {"llama", 30, 32, 8, 128}), "plan is for 32 layers, the model has 30");
    EXPECT_EQ(plan_mismatch(plan_for(k_llama), {"llama", 32, 9, 8, 128}), "plan is for 32 heads, the model has 9");
    EXPECT_EQ(plan_mismatch(plan_for(k_llama), {"llama", 32, 32, 3, 128}), "plan is for 8 KV heads, the model has 3");
    EXPECT_EQ(plan_mismatch(plan_for(k_llama), {"llama", 32, 32, 8, 64}),
              "plan is for head dimension 128, the model has 64");
    EXPECT_EQ(plan_mismatch(plan_for(k_llama), {"qwen2", 32, 32, 8, 128}),
              "plan is for architecture llama, the model is qwen2");
}

TEST(plan_mismatch, names_all_differences_in_one_sentence) {
    EXPECT_EQ(plan_mismatch(plan_for(k_llama), {"qwen2", 28, 28, 4, 64}),
              "plan is for architecture llama, the model is qwen2; for 32 layers, the model has 28; for 32 heads, the "
              "model has 28; for 8 KV heads, the model has 4; for head dimension 128, the model has 64");
}

TEST(plan_mismatch, what_either_side_does_not_know_is_not_compared) {
    EXPECT_EQ(plan_mismatch(plan_for(k_llama), model_shape{}), "");
    EXPECT_EQ(plan_mismatch(plan_for({"", 32, 0, 0, 0}), k_llama), "");
    EXPECT_EQ(plan_mismatch(plan_for({"", 32, 0, 0, 0}), {"", 0, 9, 3, 64}), "");
    EXPECT_EQ(plan_mismatch(plan{}, k_llama), "");
}

// Layers typed by hand: no shape is recorded, but what they name must exist.
TEST(plan_mismatch, layers_without_a_recorded_shape_must_exist) {
    plan p;
    p.layers.resize(32);
    p.layers[20].kind = layer_kind::triangle;
    p.layers[30].kind = layer_kind::triangle;
    EXPECT_EQ(plan_mismatch(p, {"llama", 30, 9, 3, 64}),
              "plan is for a model with a layer 30, the model has layers 0 to 29");
    EXPECT_EQ(plan_mismatch(p, {"llama", 31, 9, 3, 64}), "");
    p.layers[30].kind = layer_kind::dense;
    EXPECT_EQ(plan_mismatch(p, {"llama", 30, 9, 3, 64}), "");
}

TEST(plan_mismatch, heads_without_a_recorded_shape_must_match) {
    plan p;
    p.layers.resize(4);
    p.layers[2].kind = layer_kind::triangle;
    p.layers[2].dense_head = {1, 0, 0, 0};
    EXPECT_EQ(plan_mismatch(p, {"llama", 4, 4, 4, 64}), "");
    EXPECT_EQ(plan_mismatch(p, {"llama", 4, 8, 4, 64}), "plan is for 4 heads in layer 2, the model has 8");
}

}  // namespace
}  // namespace tmx
