// Files that the gradient probe refuses, and what it says.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "probe/model_file.h"
#include "runtime/failure.h"
#include "runtime/weight_types.h"
#include "tiny_gguf.h"

namespace tmx::test {
namespace {

std::string refusal(const std::string & path) {
    try {
        const model_file file(path);
    } catch (const failure & error) {
        return error.what();
    }
    return "accepted";
}

TEST(ModelFile, ReadsTheShape) {
    tiny_shape shape;
    shape.architecture = "qwen3";
    const model_file file(write_tiny_gguf(make_tiny_model(shape, 1), "shape"));
    EXPECT_EQ(file.shape().n_layer, shape.n_layer);
    EXPECT_EQ(file.shape().n_head, shape.n_head);
    EXPECT_EQ(file.shape().n_head_kv, shape.n_head_kv);
    EXPECT_EQ(file.shape().d_head, shape.d_head);
    EXPECT_EQ(file.shape().n_ff, shape.n_ff);
    EXPECT_EQ(file.shape().n_vocab, shape.n_vocab);
    EXPECT_NE(file.find("blk.1.attn_q_norm.weight"), nullptr);
    EXPECT_EQ(file.find("blk.2.attn_q.weight"), nullptr);
}

TEST(ModelFile, OtherArchitecturesAreSentToAblation) {
    const tiny_model model = make_tiny_model({}, 1);
    const std::string text = refusal(write_tiny_gguf(model, "gemma", {"", "", "gemma3"}));
    EXPECT_NE(text.find("gemma3"), std::string::npos) << text;
    EXPECT_NE(text.find("--method ablation"), std::string::npos) << text;
}

TEST(ModelFile, TensorsItDoesNotKnowAreNotIgnored) {
    const tiny_model model = make_tiny_model({}, 1);
    const std::string text = refusal(write_tiny_gguf(model, "extra", {"", "blk.1.attn_gate.weight", ""}));
    EXPECT_NE(text.find("blk.1.attn_gate.weight"), std::string::npos) << text;
    EXPECT_NE(refusal(write_tiny_gguf(model, "scale", {"", "blk.0.attn_q.scale", ""})), "accepted");
    // A norm of queries belongs to qwen3 only.
    EXPECT_NE(refusal(write_tiny_gguf(model, "norm", {"", "blk.0.attn_q_norm.weight", ""})), "accepted");
}

TEST(ModelFile, MissingTensorsAreNamed) {
    const tiny_model model = make_tiny_model({}, 1);
    for (const char * name : {"blk.1.ffn_up.weight", "output_norm.weight", "token_embd.weight"}) {
        const std::string text = refusal(write_tiny_gguf(model, "missing", {name, "", ""}));
        EXPECT_NE(text.find(name), std::string::npos) << text;
    }
}

TEST(ModelFile, DamagedFiles) {
    const std::string path = write_tiny_gguf(make_tiny_model({}, 1), "cut");
    std::filesystem::resize_file(path, std::filesystem::file_size(path) - 4096);
    EXPECT_NE(refusal(path).find("cut short"), std::string::npos) << refusal(path);
    std::ofstream(path) << "not a model";
    EXPECT_NE(refusal(path).find("GGUF"), std::string::npos);
    EXPECT_NE(refusal("/nowhere.gguf").find("/nowhere.gguf"), std::string::npos);
}

TEST(WeightTypes, OnlyAWholeFileOfPlainOnesHasNoneQuantised) {
    const tiny_model model = make_tiny_model({}, 1);
    EXPECT_FALSE(any_quantised(write_tiny_gguf(model, "plain")));
    gguf_changes quantised;
    quantised.quantised_tensor = "zzz.weight";
    EXPECT_TRUE(any_quantised(write_tiny_gguf(model, "one_quantised", quantised))) << "one tensor is enough";
    gguf_changes part;
    part.n_parts = 2;
    EXPECT_TRUE(any_quantised(write_tiny_gguf(model, "part", part))) << "the other part is not known";
    EXPECT_TRUE(any_quantised("/nowhere.gguf"));
}

}  // namespace
}  // namespace tmx::test
