// The probe's forward pass against llama.cpp's on tiny models of every architecture and rotary scaling: both compute
// in f32 here, so they agree to rounding.
#include <gtest/gtest.h>

#include "nmse.h"
#include "probe/model_file.h"
#include "probe/probe_model.h"
#include "runtime/arm.h"
#include "runtime/backend.h"
#include "runtime/model.h"
#include "tiny_gguf.h"

namespace tmx::test {
namespace {

struct agree_case {
    const char * name;
    tiny_shape shape;
    double yarn_factor;
};

tiny_shape of(const char * architecture, int n_head, int n_head_kv, bool tied) {
    tiny_shape shape;
    shape.architecture = architecture;
    shape.n_head = n_head;
    shape.n_head_kv = n_head_kv;
    shape.tied = tied;
    // llama.cpp multiplies these shapes with vector code.
    shape.n_embd = 32;
    shape.n_ff = 64;
    return shape;
}

tiny_shape biased_llama() {
    tiny_shape shape = of("llama", 2, 1, true);
    shape.all_biases = true;
    shape.rope_factors = true;
    shape.rope_base = 500;
    shape.rope_factor = 2;
    return shape;
}

class LlamaAgrees : public ::testing::TestWithParam<agree_case> {};

TEST_P(LlamaAgrees, OnTheLogits) {
    static backend b({default_backend_paths().llama_bin, ""}, false);
    const agree_case & c = GetParam();
    const std::string path =
        write_tiny_gguf(make_tiny_model(c.shape, 4), std::string("agrees_") + c.name, {"", "", "", c.yarn_factor});
    std::vector<token_id> tokens;
    for (int i = 0; i < 90; ++i) {
        tokens.push_back((i * i * 7 + i * 3 + 11) % c.shape.n_vocab);
    }
    const model m(path);
    arm stock;
    stock.ours = false;
    stock.context.n_ctx = 256;
    stock.context.n_threads = 1;
    stock.context.flash_attention = false;
    stock.context.kv = kv_type::f32;
    const std::unique_ptr<session> s = open_arm(b, m, stock);
    static_cast<void>(prefill_arm(b, stock, *s, tokens));
    const std::span<const float> expected = s->last_logits();

    const model_file file(path);
    probe_options options;
    options.rows_per_block = 64;
    const std::vector<float> found = probe_model(file, options).logits(tokens);
    ASSERT_EQ(found.size(), expected.size());
    EXPECT_LT(nmse(found, expected), 1e-9) << c.name;
    EXPECT_EQ(argmax(found), argmax(expected));
}

INSTANTIATE_TEST_SUITE_P(Cases, LlamaAgrees,
                         ::testing::Values(agree_case{"llama", of("llama", 4, 2, false), 0},
                                           agree_case{"llama_biases_factors_linear", biased_llama(), 0},
                                           agree_case{"llama_yarn", of("llama", 4, 2, true), 4},
                                           agree_case{"qwen2", of("qwen2", 2, 1, true), 0},
                                           agree_case{"qwen2_yarn", of("qwen2", 2, 2, false), 8},
                                           agree_case{"qwen3", of("qwen3", 4, 2, false), 0}),
                         [](const auto & test) { return std::string(test.param.name); });

}  // namespace
}  // namespace tmx::test
