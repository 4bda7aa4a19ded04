// Each layer and head alone triangle in the probe and in llama.cpp with our backend and a plan. On these tiny models
// llama.cpp rounds nothing but keys and values, to f16.
#include <gtest/gtest.h>

#include <cmath>

#include "probe/model_file.h"
#include "probe/probe_model.h"
#include "profile/unit_set.h"
#include "runtime/arm.h"
#include "tiny_gguf.h"

namespace tmx::test {
namespace {

const triangle_shape k_shape{3, 9, 5};

class AblationAgrees : public ::testing::TestWithParam<const char *> {};

logit_rows rows_in_llama(backend & b, const model & m, const std::string & plan_json,
                         const std::vector<token_id> & prompt, const std::vector<token_id> & continuation) {
    arm a;
    a.plan_json = plan_json;
    a.min_last = k_shape.n_last;
    a.context.n_ctx = 256;
    a.context.n_threads = 1;
    const std::unique_ptr<session> s = open_arm(b, m, a);
    static_cast<void>(prefill_arm(b, a, *s, prompt));
    logit_rows rows = {{s->last_logits().begin(), s->last_logits().end()}};
    for (std::vector<float> & row : s->force(continuation)) {
        rows.push_back(std::move(row));
    }
    return rows;
}

TEST_P(AblationAgrees, WithLlamaCpps) {
    static backend b(default_backend_paths(), false);
    tiny_shape shape;
    shape.architecture = GetParam();
    shape.n_layer = 3;
    shape.n_head = 2;
    shape.n_head_kv = 1;
    shape.n_embd = 32;  // llama.cpp multiplies these shapes with vector code
    shape.n_ff = 64;
    const std::string path = write_tiny_gguf(make_tiny_model(shape, 4), std::string("ablation_agrees_") + GetParam());
    const model m(path);
    const model_shape facts = shape_of(m.facts());
    std::vector<token_id> prompt;
    std::vector<token_id> continuation;
    for (int i = 0; i < 150; ++i) {
        (i < 140 ? prompt : continuation).push_back((i * i * 7 + i * 3 + 11) % shape.n_vocab);
    }
    const logit_rows llama_dense = rows_in_llama(b, m, "", prompt, continuation);
    const model_file file(path);
    probe_options options;
    options.shape = k_shape;
    probe_model probe(file, options);
    const logit_rows dense = probe.dense(prompt, continuation);
    const double gap = compare_rows(dense, llama_dense).worst_kl;
    // Roundings of 2^-11 move scores of ten by 5e-3, a distribution by about as much, its KL by half the square: 1e-5,
    // and a few times that behind three layers.
    EXPECT_LT(gap, 1e-4);
    int n_large = 0;
    for (const bool heads : {false, true}) {
        for (const unit & u : all_units(facts, heads)) {
            const std::string plan_json = write_plan(plan_of_units({&u, 1}, facts, k_shape));
            const fidelity in_llama = compare_rows(llama_dense, rows_in_llama(b, m, plan_json, prompt, continuation));
            const fidelity in_probe = compare_rows(dense, probe.ablated(u));
            // A small KL of x is a distance of d = sqrt(2 x) between distributions. The two ways are e = sqrt(2 gap)
            // apart, densely and with a triangle, so d differs by at most 2 e, and d * d / 2 by 2 d e + 2 e e.
            const auto near = [&](double found, double wanted) {
                EXPECT_NEAR(found, wanted, 4 * std::sqrt(wanted * gap) + 4 * gap) << GetParam() << " " << name_of(u);
            };
            near(in_probe.first_kl, in_llama.first_kl);
            near(in_probe.following_kl, in_llama.following_kl);
            n_large += in_llama.first_kl > 1000 * gap ? 1 : 0;
        }
    }
    EXPECT_GE(n_large, 4) << "the comparison must be of something";
}

INSTANTIATE_TEST_SUITE_P(Architectures, AblationAgrees, ::testing::Values("llama", "qwen2", "qwen3"),
                         [](const auto & test) { return std::string(test.param); });

}  // namespace
}  // namespace tmx::test
