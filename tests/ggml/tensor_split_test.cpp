// llama.cpp's tensor split over proxies: its meta device in front of two of them, as a host makes it.
#include "glue/proxy/tensor_split.h"

#include <gtest/gtest.h>

#include <array>
#include <string_view>

#include "glue/buffers/input_writes.h"
#include "glue/proxy/communication.h"
#include "nmse.h"
#include "proxy_fixture.h"

namespace tmx::test {
namespace {

TEST(split_group_test, a_layers_heads_are_known_once_every_device_has_shown_its) {
    split_group group(3);
    group.note(0, 5, {.n_head = 4, .n_head_kv = 2});
    group.note(2, 5, {.n_head = 2, .n_head_kv = 1});
    EXPECT_FALSE(group.of(0, 5));
    group.note(1, 5, {.n_head = 0, .n_head_kv = 0});
    EXPECT_FALSE(group.of(0, 4)) << "another layer";
    const auto last = group.of(2, 5);
    ASSERT_TRUE(last);
    EXPECT_EQ(last->heads.first, 4);
    EXPECT_EQ(last->heads.n, 2);
    EXPECT_EQ(last->heads.total, 6);
    EXPECT_EQ(last->n_head_kv, 3);
    EXPECT_EQ(group.of(1, 5)->heads.n, 0);
}

// Six heads and three of keys, of which the first device has four and two.
constexpr mini_shape k_split{.n_head = 6, .n_head_kv = 3, .rope = true, .project = true};

ggml_backend_meta_split_state split_of(const ggml_tensor * tensor, void *) {
    const std::string_view name(tensor->name);
    ggml_backend_meta_split_state split{};
    split.axis = GGML_BACKEND_SPLIT_AXIS_MIRRORED;
    split.n_segments = 1;
    split.nr[0] = 1;
    const bool out = name.ends_with("attn_output.weight");
    if (out || name.ends_with(".weight") || name.starts_with("cache_")) {
        split.axis = out || name.starts_with("cache_") ? GGML_BACKEND_SPLIT_AXIS_0 : GGML_BACKEND_SPLIT_AXIS_1;
        split.ne[0] = tensor->ne[split.axis] / 3 * 2;
        split.ne[1] = tensor->ne[split.axis] / 3;
    }
    return split;
}

// The devices, which must not move, nor end before the process does: the meta device keeps them.
struct split_devices {
    explicit split_devices(bool sums) : first({.number = 0, .sums = sums}), second({.number = 1, .sums = sums}) {}

    ggml_backend_dev_t meta() {
        std::array<ggml_backend_dev_t, 2> devices = {first_proxy.handle(), second_proxy.handle()};
        return ggml_backend_meta_device(devices.data(), devices.size(), split_of, nullptr);
    }

    fake_gpu first;
    fake_gpu second;
    executor_faults faults;  // of both
    // What the module's registry offers to a tensor split.
    ggml_backend_reg registry{
        .api_version = GGML_BACKEND_API_VERSION,
        .iface = {
            .get_name = [](ggml_backend_reg_t) { return "proxies"; },
            .get_device_count = [](ggml_backend_reg_t) { return size_t{0}; },
            .get_device = nullptr,
            .get_proc_address = [](ggml_backend_reg_t, const char * name) { return communication_address(name); }},
        .context = nullptr};
    proxy_device first_proxy{&registry, candidate_for(first, &faults)};
    proxy_device second_proxy{&registry, candidate_for(second, &faults)};
};

split_devices & devices(bool sums) {
    static auto & with = *new split_devices(true);
    static auto & without = *new split_devices(false);
    return sums ? with : without;
}

// Layers 0 and 1 triangle, of a model that differs from k_split in its heads at most.
plan plan_for(int32_t n_head, int32_t n_head_kv) {
    plan p = triangle_plan({0, 1});
    p.model.n_layer = 3;
    p.model.n_head = n_head;
    p.model.n_head_kv = n_head_kv;
    p.model.d_head = 32;
    return p;
}

class tensor_split_test : public proxy_test, public testing::WithParamInterface<bool> {
  protected:
    void SetUp() override {
        proxy_test::SetUp();
        devices_.faults = {};
    }

    split_devices & devices_ = devices(GetParam());
};

INSTANTIATE_TEST_SUITE_P(sums, tensor_split_test, testing::Bool(),
                         [](const auto & own) { return own.param ? "the_devices_own" : "the_hosts"; });

TEST_P(tensor_split_test, exact_attention_is_ours_on_every_device) {
    fake_cache cache(512);
    check_steps(devices_.meta(), k_split, busy_steps(cache), {});
    EXPECT_EQ(stats()["nodes"]["dense"], 3 * 4 * 2);
    EXPECT_EQ(stats()["rows"]["masked"], 0) << stats()["masked_rows"];
    EXPECT_EQ(devices_.first.n_sums > 0, GetParam());
}

TEST_P(tensor_split_test, a_plan_means_what_it_means_on_one_device) {
    apply_plan({0, 2}, true);
    fake_cache cache(512);
    check_steps(devices_.meta(), k_split, busy_steps(cache), {0, 2});
    EXPECT_EQ(stats()["nodes"]["triangle"], 2 * 4 * 2);
    EXPECT_EQ(stats()["fallbacks"], nlohmann::json::object());
    EXPECT_EQ(stats()["ubatches"]["all"], 4 * 2) << "each is classified once on each device";
}

// Cells of a cache so large that the host does not keep a mask as it was written (k_most_kept_bytes).
constexpr int64_t k_far_cells = 6000;

TEST_P(tensor_split_test, a_large_mask_stays_where_it_is) {
    apply_plan({0, 2}, true);
    fake_cache cache(k_far_cells);
    check_steps(devices_.meta(), k_split, busy_steps(cache), {0, 2});
    EXPECT_EQ(stats()["nodes"]["triangle"], 2 * 4 * 2);
    EXPECT_EQ(stats()["rows"]["masked"], 0) << stats()["masked_rows"];
    EXPECT_EQ(devices_.faults.n_compared, 4 * 2) << "once an evaluation and device";
}

TEST_P(tensor_split_test, a_large_mask_is_copied_where_the_device_cannot_compare_rows) {
    devices_.faults.compare = status::error(status_code::out_of_memory, "none");
    apply_plan({0, 2}, true);
    fake_cache cache(k_far_cells);
    check_steps(devices_.meta(), k_split, busy_steps(cache), {0, 2});
    EXPECT_EQ(stats()["nodes"]["triangle"], 2 * 4 * 2);
    EXPECT_EQ(stats()["rows"]["masked"], 0) << stats()["masked_rows"];
}

// Every row begins anew: more than are copied one by one.
TEST_P(tensor_split_test, a_large_mask_with_a_window_is_computed_as_it_is) {
    fake_cache cache(k_far_cells);
    step windowed = prompt_step(cache, 0, 200, k_every_row);
    windowed.ubatch.hide_beyond(30);
    check_steps(devices_.meta(), k_split, {windowed}, {});
    EXPECT_EQ(stats()["gpu"]["passed_on"]["visible_count"], 3 * 2);
    EXPECT_EQ(stats()["pairs"]["masked"], 3 * 6 * (200 - 30) * 30) << "layers, heads of both devices, rows, keys";
    EXPECT_EQ(devices_.faults.n_compared, 2);
}

// One entry that a sample of the mask would hardly find.
TEST_P(tensor_split_test, one_odd_entry_of_a_large_mask_is_found) {
    fake_cache cache(k_far_cells);
    std::vector<step> steps = {prompt_step(cache, 0, 120, k_every_row), prompt_step(cache, 0, 120, k_every_row)};
    steps[1].ubatch.mask_at(77, 33) = ubatch_view::k_hidden;
    check_steps(devices_.meta(), k_split, steps, {});
    EXPECT_EQ(stats()["nodes"]["dense"], 3 * 2) << "the first ubatch's";
    EXPECT_EQ(stats()["gpu"]["passed_on"]["visible_count"], 3 * 2);
}

// The scheduler has the host take the output rows then.
TEST_P(tensor_split_test, parts_between_which_the_host_computes) {
    apply_plan({0, 1, 2});
    mini_shape shape = k_split;
    shape.host_between = true;
    fake_cache cache(512);
    check_steps(devices_.meta(), shape, busy_steps(cache), {});
    EXPECT_EQ(stats()["nodes"]["triangle"], 3 * 4 * 2);
    EXPECT_EQ(stats()["pairs"]["skipped"], 0);
    EXPECT_EQ(stats()["fallbacks"], (nlohmann::json{{"output_rows", 3 * 4 * 2}}));
}

TEST_P(tensor_split_test, a_ubatch_without_output_rows_is_known_to_have_none) {
    apply(with_plan(triangle_plan({0, 1, 2}, tail_policy::output)));
    fake_cache cache(512);
    check_steps(devices_.meta(), k_split,
                {prompt_step(
                    cache, 0, 120, [](int64_t) { return false; }, false)},
                {0, 1, 2}, 0);
    EXPECT_EQ(stats()["nodes"]["triangle"], 3 * 2);
    EXPECT_EQ(stats()["fallbacks"], nlohmann::json::object());
}

TEST_P(tensor_split_test, without_output_rows_in_the_graph_every_row_is_dense) {
    apply_plan({0, 1, 2});
    mini_shape shape = k_split;
    shape.output_ids = false;
    fake_cache cache(512);
    check_steps(devices_.meta(), shape, {prompt_step(cache, 0, 120, k_every_row)}, {});
    EXPECT_EQ(stats()["pairs"]["skipped"], 0);
    EXPECT_EQ(stats()["fallbacks"]["output_rows"], 3 * 2);
}

TEST_P(tensor_split_test, heads_of_a_plan_are_the_whole_models) {
    plan p = plan_for(6, 3);
    p.layers[0].dense_head = {1, 1, 1, 1, 1, 1};
    p.layers[1].dense_head = {0, 1, 0, 0, 1, 1};
    apply(with_plan(p));
    mini_model split(k_split, 64, 512, 1, devices_.meta());
    mini_model whole(k_split, 64, 512, 1, proxy_.handle());
    fake_cache cache(512);
    for (int i = 0; i < 3; ++i) {
        const step now = prompt_step(cache, 0, 64, last_rows(64));
        ASSERT_TRUE(split.compute(now.ubatch, now.users));
        ASSERT_TRUE(whole.compute(now.ubatch, now.users));
        for (int layer = 0; layer < 3 && i > 0; ++layer) {
            EXPECT_LT(nmse(split.output(layer), whole.output(layer)), k_same) << "layer " << layer << ", ubatch " << i;
        }
    }
    EXPECT_GT(stats(split)["pairs"]["skipped"], 0);
    EXPECT_EQ(stats()["fallbacks"], (nlohmann::json{{"split_heads", 2}})) << "in the first device's first ubatch";
}

TEST_P(tensor_split_test, a_plan_for_another_number_of_heads_is_refused) {
    apply(with_plan(plan_for(12, 6)));
    mini_model split(k_split, 64, 512, 1, devices_.meta());
    fake_cache cache(512);
    for (int i = 0; i < 2; ++i) {
        const step now = prompt_step(cache, 0, 64, last_rows(64));
        ASSERT_TRUE(split.compute(now.ubatch, now.users));
    }
    EXPECT_GE(stats()["fallbacks"]["plan_refused"], 2 * 2) << "once all heads are known";
}

}  // namespace
}  // namespace tmx::test
