// Layers whose blocks are selected, on the CPU device and through a GPU's proxy: against ggml's CPU backend with a mask
// that spells out which blocks are kept; what cannot be treated so is exact, and counted.
#include <gtest/gtest.h>

#include <string>

#include "backend/statistics.h"
#include "glue/accel_device.h"
#include "nmse.h"
#include "proxy_fixture.h"
#include "spelled_blocks.h"

namespace tmx::test {
namespace {

constexpr int64_t k_stride = 3;

// Layer 0: blocks; layer 1: blocks and the band; layer 2: triangle; layer 3: dense.
plan dynamic_plan() {
    plan p = triangle_plan({1, 2});
    selection_rule rule = usual_rule(*find_selection_method("stride"));
    rule.values[0] = k_stride;
    p.dynamic = {{.selection = rule, .min_tokens = 0}};
    p.layers[0].dynamic = 0;
    p.layers[1].dynamic = 0;
    return p;
}

const mini_shape k_layers{.n_layer = 4};

class dynamic_test : public proxy_test {
  protected:
    // A prompt in chunks, the first of which starts anywhere in the cache if `shuffled`.
    void check_prompt(ggml_backend_dev_t device, bool shuffled) {
        apply(with_plan(dynamic_plan()));
        fake_cache cache(2048);
        mini_model tested(k_layers, 600, 2048, 1, device);
        mini_model blocks(k_layers, 600, 2048, 1, nullptr);
        mini_model both(k_layers, 600, 2048, 1, nullptr);
        mini_model triangle(k_layers, 600, 2048, 1, nullptr);
        mini_model exact(k_layers, 600, 2048, 1, nullptr);
        EXPECT_EQ(tested.n_ours(), 4);
        double kept[4] = {};
        double seen = 0;
        for (int chunk = 0; chunk < 3; ++chunk) {
            SCOPED_TRACE("chunk " + std::to_string(chunk));
            if (shuffled) {
                cache.force_cells(cell_range(1400 - 650 * chunk, 2000 - 650 * chunk));
            }
            const step now = prompt_step(cache, 0, 600, last_rows(600));
            const fake_ubatch of_blocks = spelled_blocks(now.ubatch, now.after, k_stride, false);
            const fake_ubatch of_both = spelled_blocks(now.ubatch, now.after, k_stride, true);
            const fake_ubatch of_band = spelled_out(now.ubatch, now.after, now.dense);
            ASSERT_TRUE(tested.compute(now.ubatch, now.users));
            ASSERT_TRUE(blocks.compute(of_blocks, now.users));
            ASSERT_TRUE(both.compute(of_both, now.users));
            ASSERT_TRUE(triangle.compute(of_band, now.users));
            ASSERT_TRUE(exact.compute(now.ubatch, now.users));
            EXPECT_LT(nmse(tested.output(0), blocks.output(0)), k_same);
            EXPECT_LT(nmse(tested.output(1), both.output(1)), k_same);
            EXPECT_LT(nmse(tested.output(2), triangle.output(2)), k_same);
            EXPECT_LT(nmse(tested.output(3), exact.output(3)), k_same);
            kept[0] += static_cast<double>(visible_entries(of_blocks));
            kept[1] += static_cast<double>(visible_entries(of_both));
            kept[2] += static_cast<double>(visible_entries(of_band));
            kept[3] += static_cast<double>(visible_entries(now.ubatch));
            seen += static_cast<double>(visible_entries(now.ubatch));
        }
        EXPECT_GT(nmse(tested.output(0), exact.output(0)), k_other) << "blocks are left out";
        const nlohmann::json now = stats();
        EXPECT_EQ(now["nodes"]["dynamic"], 6);
        EXPECT_EQ(now["nodes"]["triangle"], 3);
        EXPECT_EQ(now["nodes"]["dense"], 3);
        EXPECT_TRUE(now["fallbacks"].empty());
        for (size_t layer = 0; layer < 4; ++layer) {
            EXPECT_EQ(now["layers"][layer]["pairs"]["kept"], 4 * kept[layer]) << layer;
            EXPECT_EQ(now["layers"][layer]["pairs"]["skipped"], 4 * (seen - kept[layer])) << layer;
        }
    }
};

TEST_F(dynamic_test, blocks_are_selected_on_the_cpu_device) {
    check_prompt(accel_device(nullptr), false);
}

TEST_F(dynamic_test, blocks_are_selected_through_a_proxy) {
    check_prompt(proxy_.handle(), false);
    EXPECT_EQ(faults_.n_forwarded, 12);
}

TEST_F(dynamic_test, cells_in_any_order_on_the_cpu_device) {
    check_prompt(accel_device(nullptr), true);
}

TEST_F(dynamic_test, cells_in_any_order_through_a_proxy) {
    check_prompt(proxy_.handle(), true);
}

TEST_F(dynamic_test, layers_of_one_rule_share_what_a_proxy_prepares) {
    plan p = triangle_plan({});
    p.layers.resize(4);
    p.dynamic = {{usual_rule(0), 0}, {usual_rule(0), 0}};
    for (size_t layer = 0; layer < 4; ++layer) {
        p.layers[layer].dynamic = static_cast<int32_t>(layer % 2);  // two names for one rule
    }
    apply(with_plan(p));
    fake_cache cache(512);
    const step now = prompt_step(cache, 0, 300, last_rows(300));
    mini_model tested(k_layers, 300, 512, 1, proxy_.handle());
    ASSERT_TRUE(tested.compute(now.ubatch, now.users));
    EXPECT_EQ(faults_.n_prepared, 1);
    EXPECT_EQ(faults_.n_forwarded, 4);
}

TEST_F(dynamic_test, masked_rows_are_exact_and_counted) {
    for (const bool by_proxy : {false, true}) {
        SCOPED_TRACE(by_proxy);
        process_statistics().reset();
        apply(with_plan(dynamic_plan()));
        fake_cache cache(512);
        step now = prompt_step(cache, 0, 400, k_every_row);
        now.ubatch.hide_beyond(40);
        mini_model tested(k_layers, 400, 512, 1, by_proxy ? proxy_.handle() : accel_device(nullptr));
        mini_model exact(k_layers, 400, 512, 1, nullptr);
        ASSERT_TRUE(tested.compute(now.ubatch, now.users));
        ASSERT_TRUE(exact.compute(now.ubatch, now.users));
        EXPECT_LT(nmse(tested.output(0), exact.output(0)), k_same) << "all rows are masked, or see one block";
        EXPECT_EQ(stats()["fallbacks"]["visible_count"], 3) << "three layers are the plan's";
    }
}

TEST_F(dynamic_test, keys_in_an_unknown_order_are_exact_and_counted) {
    apply(with_plan(dynamic_plan()));
    fake_cache cache(1024);
    fake_cache elsewhere(1024);
    mini_model tested(k_layers, 300, 1024, 1, accel_device(nullptr));
    mini_model exact(k_layers, 300, 1024, 1, nullptr);
    mini_model other(k_layers, 300, 1024, 1, nullptr);
    const step first = prompt_step(elsewhere, 0, 300, last_rows(300));
    ASSERT_TRUE(other.compute(first.ubatch, first.users));
    cache.place(0, cell_range(500, 800));
    const mini_model::state state = other.save(0, 300);
    tested.restore(state, 500, 300);
    exact.restore(state, 500, 300);
    const step next = prompt_step(cache, 0, 300, k_every_row);
    ASSERT_TRUE(tested.compute(next.ubatch, next.users));
    ASSERT_TRUE(exact.compute(next.ubatch, next.users));
    for (int layer = 0; layer < 4; ++layer) {
        EXPECT_LT(nmse(tested.output(layer), exact.output(layer)), k_same) << "layer " << layer;
    }
    EXPECT_EQ(stats()["fallbacks"]["cell_order"], 3);
    EXPECT_EQ(stats()["nodes"]["dynamic"], 0);
}

TEST_F(dynamic_test, what_an_executor_cannot_select_is_passed_on_and_counted) {
    faults_.prepare = status::error(status_code::unsupported, "no form of that method");
    apply(with_plan(dynamic_plan()));
    fake_cache cache(512);
    const step now = prompt_step(cache, 0, 300, last_rows(300));
    mini_model tested(k_layers, 300, 512, 1, proxy_.handle());
    mini_model exact(k_layers, 300, 512, 1, nullptr);
    ASSERT_TRUE(tested.compute(now.ubatch, now.users));
    ASSERT_TRUE(exact.compute(now.ubatch, now.users));
    EXPECT_LT(nmse(tested.output(0), exact.output(0)), k_same);
    EXPECT_EQ(stats()["fallbacks"]["device"], 3);
    EXPECT_EQ(stats()["gpu"]["passed_on"]["unsupported: no form of that method"], 4);
}

TEST_F(dynamic_test, what_nobody_counted_is_not_claimed_to_be_skipped) {
    faults_.counts_nothing = true;
    apply(with_plan(dynamic_plan()));
    fake_cache cache(1024);
    const step now = prompt_step(cache, 0, 900, last_rows(900));
    mini_model tested(k_layers, 900, 1024, 1, proxy_.handle());
    ASSERT_TRUE(tested.compute(now.ubatch, now.users));
    const nlohmann::json layers = stats()["layers"];
    EXPECT_EQ(layers[0]["pairs"]["skipped"], 0);
    EXPECT_EQ(layers[0]["selected"][0]["density"], 1);
    EXPECT_GT(layers[2]["pairs"]["skipped"], 0) << "a triangle layer's pairs need no counting";
}

TEST_F(dynamic_test, rows_that_are_all_dense_need_no_method) {
    faults_.no_selection = true;
    apply(with_plan(dynamic_plan(), true));
    fake_cache cache(512);
    const step now = prompt_step(cache, 0, 400, k_every_row);
    mini_shape shape = k_layers;
    shape.output_ids = false;
    mini_model tested(shape, 400, 512, 1, proxy_.handle());
    mini_model exact(shape, 400, 512, 1, nullptr);
    ASSERT_TRUE(tested.compute(now.ubatch, now.users)) << "strict mode";
    ASSERT_TRUE(exact.compute(now.ubatch, now.users));
    EXPECT_LT(nmse(tested.output(0), exact.output(0)), k_same);
    EXPECT_EQ(faults_.n_forwarded, 4);
    EXPECT_TRUE(stats()["fallbacks"].empty());
    EXPECT_EQ(stats()["nodes"]["dynamic"], 0);
}

TEST_F(dynamic_test, a_host_that_asks_for_all_logits_gets_exact_attention) {
    apply(with_plan(dynamic_plan()));
    fake_cache cache(512);
    const step now = prompt_step(cache, 0, 400, k_every_row);
    mini_shape shape = k_layers;
    shape.output_ids = false;
    mini_model tested(shape, 400, 512, 1, accel_device(nullptr));
    mini_model exact(shape, 400, 512, 1, nullptr);
    ASSERT_TRUE(tested.compute(now.ubatch, now.users));
    ASSERT_TRUE(exact.compute(now.ubatch, now.users));
    EXPECT_LT(nmse(tested.output(0), exact.output(0)), k_same);
    EXPECT_EQ(stats()["pairs"]["skipped"], 0);
}

}  // namespace
}  // namespace tmx::test
