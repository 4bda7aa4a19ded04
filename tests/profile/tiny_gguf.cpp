#include "tiny_gguf.h"

#include <ggml.h>
#include <gguf.h>
#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <vector>

namespace tmx::test {
namespace {

// llama.cpp loads no model without a tokeniser.
void add_vocabulary(gguf_context * file, int n_vocab) {
    std::vector<std::string> tokens = {"<unk>", "<s>", "</s>"};
    for (int i = 3; i < n_vocab; ++i) {
        tokens.push_back(std::string(1, 'w').append(std::to_string(i)));
    }
    std::vector<const char *> texts;
    for (const std::string & token : tokens) {
        texts.push_back(token.c_str());
    }
    const std::vector<float> scores(tokens.size(), 0.0F);
    std::vector<int32_t> types(tokens.size(), 1);  // normal
    types[0] = 2;                                  // unknown
    types[1] = types[2] = 3;                       // control
    gguf_set_val_str(file, "tokenizer.ggml.model", "llama");
    gguf_set_arr_str(file, "tokenizer.ggml.tokens", texts.data(), texts.size());
    gguf_set_arr_data(file, "tokenizer.ggml.scores", GGUF_TYPE_FLOAT32, scores.data(), scores.size());
    gguf_set_arr_data(file, "tokenizer.ggml.token_type", GGUF_TYPE_INT32, types.data(), types.size());
}

}  // namespace

std::string write_tiny_gguf(const tiny_model & model, const std::string & name, const gguf_changes & changes) {
    const tiny_shape & s = model.shape;
    const std::unique_ptr<gguf_context, void (*)(gguf_context *)> file(gguf_init_empty(), gguf_free);
    const std::string arch = changes.architecture.empty() ? s.architecture : changes.architecture;
    const auto integer = [&](const std::string & key, int value) {
        gguf_set_val_u32(file.get(), (arch + "." + key).c_str(), static_cast<uint32_t>(value));
    };
    const auto number = [&](const std::string & key, double value) {
        gguf_set_val_f32(file.get(), (arch + "." + key).c_str(), static_cast<float>(value));
    };
    gguf_set_val_str(file.get(), "general.architecture", arch.c_str());
    gguf_set_val_str(file.get(), "general.name", "tiny");
    integer("block_count", s.n_layer);
    integer("context_length", 512);
    integer("embedding_length", s.n_embd);
    integer("feed_forward_length", s.n_ff);
    integer("attention.head_count", s.n_head);
    integer("attention.head_count_kv", s.n_head_kv);
    integer("attention.key_length", s.d_head);
    integer("attention.value_length", s.d_head);
    number("attention.layer_norm_rms_epsilon", s.eps);
    number("rope.freq_base", s.rope_base);
    if (s.rope_factor != 1) {
        number("rope.scaling.factor", s.rope_factor);
        gguf_set_val_str(file.get(), (arch + ".rope.scaling.type").c_str(), "linear");
    }
    if (changes.yarn_factor > 0) {
        number("rope.scaling.factor", changes.yarn_factor);
        gguf_set_val_str(file.get(), (arch + ".rope.scaling.type").c_str(), "yarn");
        integer("rope.scaling.original_context_length", 32);
    }
    for (const auto & [key, value] : changes.integers) {
        integer(key, value);
    }
    if (!changes.window_pattern.empty()) {
        const std::vector<int8_t> flags(changes.window_pattern.begin(), changes.window_pattern.end());
        gguf_set_arr_data(file.get(), (arch + ".attention.sliding_window_pattern").c_str(), GGUF_TYPE_BOOL,
                          flags.data(), flags.size());
    }
    if (changes.n_parts > 0) {
        gguf_set_val_u16(file.get(), "split.count", static_cast<uint16_t>(changes.n_parts));
    }
    add_vocabulary(file.get(), s.n_vocab);
    size_t bytes = 1 << 16;
    for (const auto & [tensor_name, tensor] : model.tensors) {
        bytes += tensor.values.size() * sizeof(float) + 1024;
    }
    const std::unique_ptr<ggml_context, void (*)(ggml_context *)> context(ggml_init({bytes, nullptr, false}),
                                                                          ggml_free);
    const auto add = [&](const std::string & tensor_name, const tiny_tensor & tensor) {
        ggml_tensor * added = tensor.n_rows == 1
                                  ? ggml_new_tensor_1d(context.get(), GGML_TYPE_F32, tensor.n_cols)
                                  : ggml_new_tensor_2d(context.get(), GGML_TYPE_F32, tensor.n_cols, tensor.n_rows);
        ggml_set_name(added, tensor_name.c_str());
        std::memcpy(added->data, tensor.values.data(), tensor.values.size() * sizeof(float));
        gguf_add_tensor(file.get(), added);
    };
    for (const auto & [tensor_name, tensor] : model.tensors) {
        if (tensor_name != changes.without) {
            add(tensor_name, tensor);
        }
    }
    if (!changes.extra_tensor.empty()) {
        add(changes.extra_tensor, {1, 4, {1, 2, 3, 4}});
    }
    if (!changes.quantised_tensor.empty()) {
        ggml_tensor * added = ggml_new_tensor_1d(context.get(), GGML_TYPE_Q8_0, 32);
        ggml_set_name(added, changes.quantised_tensor.c_str());
        std::memset(added->data, 0, ggml_nbytes(added));
        gguf_add_tensor(file.get(), added);
    }
    const std::string path = ::testing::TempDir() + "tmx_" + name + ".gguf";
    EXPECT_TRUE(gguf_write_to_file(file.get(), path.c_str(), false)) << path;
    return path;
}

}  // namespace tmx::test
