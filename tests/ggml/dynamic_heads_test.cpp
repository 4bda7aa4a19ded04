// Layers whose heads select by different rules, rules with a crossover, and triangle layers with a band of their own:
// on the CPU device and through a GPU's proxy, head by head against ggml's CPU backend with masks that spell it out.
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "backend/statistics.h"
#include "glue/accel_device.h"
#include "nmse.h"
#include "proxy_fixture.h"
#include "spelled_blocks.h"

namespace tmx::test {
namespace {

constexpr int64_t k_own_window = 200;
constexpr int64_t k_no_stride = 1 << 20;  // farther than any block
const mini_shape k_head_layers{.n_layer = 4};

dynamic_rule rule_of(double stride, int64_t min_tokens) {
    dynamic_rule rule{.selection = usual_rule(*find_selection_method("stride")), .min_tokens = min_tokens};
    rule.selection.values[0] = stride;
    return rule;
}

// Layer 0: head 0 by every third block, heads 2 and 3 by every fifth from 700 tokens on. Layer 1: triangle, head 1 by
// every third block from 700 tokens on. Layer 2: triangle with a window of its own. Layer 3: triangle, head 2 dense,
// the others by every third block.
plan heads_plan() {
    plan p = triangle_plan({1, 2, 3});
    p.dynamic = {rule_of(5, 700), rule_of(3, 0), rule_of(3, 700)};
    p.layers[0].head_dynamic = {1, -1, 0, 0};
    p.layers[1].head_dynamic = {-1, 2, -1, -1};
    p.layers[2].own.n_window = k_own_window;
    p.layers[3].dynamic = 1;
    p.layers[3].dense_head = {0, 0, 1, 0};
    return p;
}

std::vector<float> head_of(const std::vector<float> & output, size_t head) {
    constexpr size_t k_head_dim = 32;
    std::vector<float> values;
    for (size_t row = 0; row * 4 * k_head_dim < output.size(); ++row) {
        const auto begin = output.begin() + static_cast<std::ptrdiff_t>((row * 4 + head) * k_head_dim);
        values.insert(values.end(), begin, begin + k_head_dim);
    }
    return values;
}

class dynamic_heads_test : public proxy_test {
  protected:
    void check_heads(ggml_backend_dev_t device) {
        apply(with_plan(heads_plan()));
        fake_cache cache(2048);
        mini_model tested(k_head_layers, 600, 2048, 1, device);
        std::map<std::string, std::unique_ptr<mini_model>> references;
        double kept_by_3 = 0;
        double kept_by_5 = 0;
        for (int chunk = 0; chunk < 2; ++chunk) {
            const bool late = chunk == 1;
            const step now = prompt_step(cache, 0, 600, last_rows(600));
            ASSERT_TRUE(tested.compute(now.ubatch, now.users));
            const std::map<std::string, fake_ubatch> masks = {
                {"dense", now.ubatch},
                {"band", spelled_out(now.ubatch, now.after, now.dense)},
                {"own band", spelled_out(now.ubatch, now.after, now.dense, k_own_window)},
                {"band's blocks", spelled_blocks(now.ubatch, now.after, k_no_stride, true)},
                {"3", spelled_blocks(now.ubatch, now.after, 3, false)},
                {"3 and band", spelled_blocks(now.ubatch, now.after, 3, true)},
                {"5", spelled_blocks(now.ubatch, now.after, 5, false)}};
            for (const auto & [name, mask] : masks) {
                auto & reference = references[name];
                if (reference == nullptr) {
                    reference = std::make_unique<mini_model>(k_head_layers, 600, 2048, 1, nullptr);
                }
                ASSERT_TRUE(reference->compute(mask, now.users));
            }
            const std::string by_5 = late ? "5" : "dense";
            const std::string rest = late ? "band's blocks" : "band";
            const std::vector<std::vector<std::string>> expected = {
                {"3", "dense", by_5, by_5},
                {rest, late ? "3 and band" : "band", rest, rest},
                {"own band", "own band", "own band", "own band"},
                {"3 and band", "3 and band", "dense", "3 and band"}};
            for (size_t layer = 0; layer < expected.size(); ++layer) {
                for (size_t head = 0; head < 4; ++head) {
                    const std::string & name = expected[layer][head];
                    EXPECT_LT(nmse(head_of(tested.output(static_cast<int>(layer)), head),
                                   head_of(references[name]->output(static_cast<int>(layer)), head)),
                              k_same)
                        << "chunk " << chunk << ", layer " << layer << ", head " << head << ": " << name;
                }
            }
            const int64_t n_selected = 600 - k_shape.n_last;
            kept_by_3 += static_cast<double>(visible_entries(masks.at("3"), n_selected));
            kept_by_5 += late ? static_cast<double>(2 * visible_entries(masks.at("5"), n_selected)) : 0;
        }
        const nlohmann::json now = stats();
        EXPECT_EQ(now["nodes"]["dynamic"], 5);
        EXPECT_EQ(now["nodes"]["triangle"], 3) << "layer 2, and layer 1 before its crossover";
        EXPECT_TRUE(now["fallbacks"].empty());
        const nlohmann::json & selected = now["layers"][0]["selected"];
        ASSERT_EQ(selected.size(), 2u);
        EXPECT_EQ(selected[0]["rule"], "stride:stride=3");
        EXPECT_EQ(selected[0]["nodes"], 2);
        EXPECT_EQ(selected[0]["kept"], kept_by_3);
        EXPECT_EQ(selected[1]["rule"], "stride:stride=5");
        EXPECT_EQ(selected[1]["nodes"], 1);
        EXPECT_EQ(selected[1]["kept"], kept_by_5);
        EXPECT_GT(selected[1]["causal"], kept_by_5);
    }
};

TEST_F(dynamic_heads_test, each_head_keeps_what_the_plan_says_on_the_cpu_device) {
    check_heads(accel_device(nullptr));
    EXPECT_TRUE(stats()["layers"][0]["selection_seconds"].is_number());
    EXPECT_EQ(stats()["layers"][2]["selection_seconds"], 0) << "nothing is selected there";
}

TEST_F(dynamic_heads_test, each_head_keeps_what_the_plan_says_through_a_proxy) {
    check_heads(proxy_.handle());
    EXPECT_TRUE(stats()["layers"][0]["selection_seconds"].is_null()) << "not known of a GPU";
    EXPECT_EQ(faults_.n_forwarded, 8);
}

TEST_F(dynamic_heads_test, keys_are_skipped_on_both_devices_alike) {
    plan p = triangle_plan({2});
    p.skip = 300;  // much: these queries and keys are random
    fake_cache cache(1024);
    const step now = prompt_step(cache, 0, 900, last_rows(900));
    mini_model exact(k_head_layers, 900, 1024, 1, nullptr);
    ASSERT_TRUE(exact.compute(now.ubatch, now.users));
    apply(with_plan(p));
    mini_model here(k_head_layers, 900, 1024, 1, accel_device(nullptr));
    mini_model there(k_head_layers, 900, 1024, 1, proxy_.handle());
    ASSERT_TRUE(here.compute(now.ubatch, now.users));
    ASSERT_TRUE(there.compute(now.ubatch, now.users));
    for (const int layer : {0, 2}) {
        EXPECT_EQ(here.output(layer), there.output(layer));
    }
    EXPECT_NE(here.output(0), exact.output(0));
    apply(with_plan(triangle_plan({2})));
    mini_model without(k_head_layers, 900, 1024, 1, accel_device(nullptr));
    ASSERT_TRUE(without.compute(now.ubatch, now.users));
    EXPECT_NE(here.output(0), without.output(0)) << "a dense layer skips";
    EXPECT_EQ(here.output(2), without.output(2)) << "a triangle layer does not";
}

TEST_F(dynamic_heads_test, below_its_crossover_a_layer_is_dense_and_that_is_no_fallback) {
    for (const bool by_proxy : {false, true}) {
        SCOPED_TRACE(by_proxy);
        process_statistics().reset();
        plan p = triangle_plan({});
        p.layers.resize(4);
        p.dynamic = {rule_of(3, 401)};
        p.layers[0].dynamic = p.layers[1].dynamic = 0;
        apply(with_plan(p, true));
        fake_cache cache(512);
        const step now = prompt_step(cache, 0, 400, last_rows(400));
        mini_model tested(k_head_layers, 400, 512, 1, by_proxy ? proxy_.handle() : accel_device(nullptr));
        mini_model exact(k_head_layers, 400, 512, 1, nullptr);
        ASSERT_TRUE(tested.compute(now.ubatch, now.users)) << "strict mode";
        ASSERT_TRUE(exact.compute(now.ubatch, now.users));
        EXPECT_LT(nmse(tested.output(0), exact.output(0)), k_same);
        EXPECT_EQ(stats()["pairs"]["skipped"], 0);
        EXPECT_EQ(stats()["nodes"]["dense"], 4);
        EXPECT_EQ(stats()["rows"]["planned"], 0);
        EXPECT_TRUE(stats()["fallbacks"].empty());
    }
}

}  // namespace
}  // namespace tmx::test
