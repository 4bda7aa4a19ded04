// How arms compute prompts and answer them, in unmodified llama.cpp, on a model whose every layer is known.
#include <gtest/gtest.h>

#include <memory>

#include "copying_model.h"
#include "eval/run/answer_group.h"
#include "profile/unit_set.h"
#include "tiny_gguf.h"

namespace tmx::test {
namespace {

constexpr int k_length = 200;
constexpr int k_asked_at = 150;  // far from the key, and not among the last rows

backend & loaded_backend() {
    static backend b(default_backend_paths(), false);
    return b;
}

const std::string & model_path() {
    static const std::string path = write_tiny_gguf(make_copying_model(), "copying");
    return path;
}

eval_arm arm_of(const model & m, const std::string & name, const std::vector<size_t> & triangle,
                const triangle_shape & shape = {2, 16, 8}) {
    eval_arm a;
    a.name = name;
    a.computed.name = name;
    a.computed.min_last = 8;
    a.computed.context.n_ubatch = 128;
    a.computed.context.n_threads = 1;
    if (!triangle.empty()) {
        a.applied.name = name;
        a.applied.model = shape_of(m.facts());
        a.applied.shape = shape;
        a.applied.tail = tail_policy::prompt;
        a.applied.layers.resize(3);
        for (const size_t layer : triangle) {
            a.applied.layers[layer].kind = layer_kind::triangle;
        }
        a.computed.plan_json = write_plan(a.applied);
    }
    return a;
}

std::vector<asked> examples(int n, int length = k_length, int asked_at = k_asked_at) {
    std::vector<asked> made(static_cast<size_t>(n));
    for (int i = 0; i < n; ++i) {
        asked & each = made[static_cast<size_t>(i)];
        each.example.max_new_tokens = 3;
        each.rendered.ids = copying_prompt(length, 5 + i, asked_at, 20 + i);
    }
    return made;
}

class run : public ::testing::Test {
  protected:
    backend & loaded = loaded_backend();  // before any model
    eval_settings settings;
    arm_models models{model(model_path()),
                      {},
                      [](const std::string &, bool weights) { return model(model_path(), {}, weights); },
                      true};

    std::vector<answered> answers(const eval_arm & a, const std::vector<asked> & group, int32_t together) {
        settings.n_together = together;
        arm_sessions sessions(loaded, models, settings, 256);
        std::vector<answered> all;
        for (size_t at = 0; at < group.size(); at += static_cast<size_t>(together)) {
            const size_t n = std::min(static_cast<size_t>(together), group.size() - at);
            for (answered & each : answer_group(sessions, a, {group.data() + at, n}, {})) {
                all.push_back(std::move(each));
            }
        }
        return all;
    }

    int n_right(const eval_arm & a) {
        const std::vector<answered> all = answers(a, examples(6), 3);
        int right = 0;
        for (size_t i = 0; i < all.size(); ++i) {
            right += !all[i].tokens.empty() && all[i].tokens.front() == 20 + static_cast<int>(i) ? 1 : 0;
        }
        return right;
    }

    eval_arm arm(const std::string & name, const std::vector<size_t> & triangle) {
        return arm_of(models.text(), name, triangle);
    }
};

TEST_F(run, only_the_layer_that_carries_the_copy_must_be_dense) {
    EXPECT_EQ(n_right(arm("dense", {})), 6);
    EXPECT_EQ(n_right(arm("neighbours", {0})), 6);
    EXPECT_EQ(n_right(arm("answer", {2})), 6);
    EXPECT_EQ(n_right(arm("both", {0, 2})), 6);
    EXPECT_EQ(n_right(arm("copy", {1})), 0);
    EXPECT_EQ(n_right(arm("all", {0, 1, 2})), 0);
}

TEST_F(run, plans_are_seen_to_be_applied) {
    for (const answered & each : answers(arm("copy", {1}), examples(3), 3)) {
        EXPECT_LT(each.kept_share, 0.9);
        EXPECT_EQ(each.n_planned, 2) << "chunks of the prompt in one layer";
    }
    for (const answered & each : answers(arm("dense", {}), examples(3), 3)) {
        EXPECT_EQ(each.kept_share, 1);
    }
}

TEST_F(run, answering_together_is_answering_alone) {
    for (const std::vector<size_t> & triangle : {std::vector<size_t>{}, std::vector<size_t>{1}}) {
        const eval_arm a = arm("any", triangle);
        const std::vector<answered> together = answers(a, examples(6), 3);
        const std::vector<answered> alone = answers(a, examples(6), 1);
        for (size_t i = 0; i < together.size(); ++i) {
            EXPECT_EQ(together[i].tokens, alone[i].tokens) << i;
            EXPECT_EQ(together[i].first_logprob, alone[i].first_logprob) << i;
        }
    }
}

TEST_F(run, arms_that_take_turns_in_one_context_do_not_mix) {
    settings.n_together = 2;
    arm_sessions sessions(loaded, models, settings, 256);
    const std::vector<asked> group = examples(2);
    const eval_arm dense = arm("dense", {});
    const eval_arm copy = arm("copy", {1});
    const eval_arm stock = [&] {
        eval_arm a = arm("stock", {});
        a.computed.ours = false;
        return a;
    }();
    for (int round = 0; round < 2; ++round) {
        EXPECT_EQ(answer_group(sessions, dense, group, {}).front().tokens.front(), 20);
        EXPECT_NE(answer_group(sessions, copy, group, {}).front().tokens.front(), 20);
        EXPECT_EQ(answer_group(sessions, stock, group, {}).front().tokens.front(), 20);
    }
}

// sink + window + last cover the prompt: the plan has nothing to skip, and the arms are the same computation.
TEST_F(run, what_is_short_is_bitwise_dense) {
    const std::vector<asked> group = examples(3, 100, 60);
    const std::vector<answered> dense = answers(arm("dense", {}), group, 3);
    const std::vector<answered> full = answers(arm_of(models.text(), "full", {0, 1, 2}, {4, 64, 40}), group, 3);
    for (size_t i = 0; i < group.size(); ++i) {
        EXPECT_EQ(full[i].kept_share, 1);
        EXPECT_EQ(full[i].first_logprob, dense[i].first_logprob);
        EXPECT_EQ(full[i].tokens, dense[i].tokens);
    }
}

TEST_F(run, another_ubatch_answers_the_same) {
    eval_arm noise = arm("noise", {});
    noise.computed.context.n_ubatch = 80;
    const std::vector<answered> a = answers(noise, examples(4), 2);
    const std::vector<answered> b = answers(arm("dense", {}), examples(4), 2);
    for (size_t i = 0; i < a.size(); ++i) {
        EXPECT_EQ(a[i].tokens.front(), b[i].tokens.front());
    }
}

}  // namespace
}  // namespace tmx::test
