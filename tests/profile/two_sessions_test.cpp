// Two models of one shape in one process, each with a plan and a prompt length of its own, in unmodified llama.cpp:
// neither notices the other.
#include <gtest/gtest.h>

#include <memory>

#include "profile/unit_set.h"
#include "runtime/arm.h"
#include "runtime/statistics.h"
#include "tiny_gguf.h"
#include "trianglemix/plan.h"

namespace tmx::test {
namespace {

arm arm_with(const model & m, const std::vector<size_t> & triangle) {
    plan p;
    p.name = "test";
    p.model = shape_of(m.facts());
    p.shape = {3, 9, 5};
    p.tail = tail_policy::prompt;
    p.layers.resize(static_cast<size_t>(p.model.n_layer));
    for (const size_t layer : triangle) {
        p.layers[layer].kind = layer_kind::triangle;
    }
    arm a;
    a.plan_json = write_plan(p);
    a.min_last = p.shape.n_last;
    a.context.n_ctx = 256;
    a.context.n_ubatch = 80;
    a.context.n_threads = 1;
    return a;
}

std::vector<float> logits_after(backend & b, const arm & a, session & s, const std::vector<token_id> & prompt) {
    static_cast<void>(prefill_arm(b, a, s, prompt));
    return {s.last_logits().begin(), s.last_logits().end()};
}

TEST(TwoSessions, KeepTheirPlans) {
    backend b(default_backend_paths(), false);
    tiny_shape shape;
    shape.n_layer = 3;
    shape.n_head = 2;
    shape.n_head_kv = 1;
    shape.n_embd = 32;
    shape.n_ff = 64;
    const std::string path = write_tiny_gguf(make_tiny_model(shape, 4), "two_sessions");
    const model first(path);
    const model second(path);
    std::vector<token_id> longer;
    for (int i = 0; i < 160; ++i) {
        longer.push_back((i * i * 7 + i * 3 + 11) % shape.n_vocab);
    }
    const std::vector<token_id> shorter(longer.begin(), longer.begin() + 144);
    const arm one = arm_with(first, {0});
    const arm other = arm_with(second, {1, 2});

    const std::vector<float> one_alone = logits_after(b, one, *open_arm(b, first, one), longer);
    const std::vector<float> other_alone = logits_after(b, other, *open_arm(b, second, other), shorter);
    const std::unique_ptr<session> a = open_arm(b, first, one);
    const std::unique_ptr<session> c = open_arm(b, second, other);
    for (int round = 0; round < 2; ++round) {
        EXPECT_EQ(logits_after(b, one, *a, longer), one_alone);
        EXPECT_EQ(logits_after(b, other, *c, shorter), other_alone);
    }
    EXPECT_NE(one_alone, logits_after(b, other, *c, longer));
    EXPECT_EQ(parse_statistics(b.statistics(a->backend_context())).n_planned, 2 * 2) << "rounds, chunks";
    EXPECT_EQ(parse_statistics(b.statistics(c->backend_context())).n_planned, 3 * 2 * 2) << "and layers";
}

}  // namespace
}  // namespace tmx::test
