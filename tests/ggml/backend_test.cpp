// The backend at work: graphs like llama.cpp's, spread by ggml's scheduler over our device and the CPU backend, against
// the CPU backend alone, with the same mask or with one that spells out the plan.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "backend/settings.h"
#include "backend/statistics.h"
#include "device_fixture.h"
#include "glue/accel_device.h"
#include "mini_model.h"
#include "nmse.h"
#include "steps.h"

namespace tmx::test {
namespace {

class backend_test : public device_fixture {
  protected:
    static ggml_backend_dev_t ours() { return accel_device(nullptr); }
};

void check_steps(const mini_shape & shape, const std::vector<step> & steps, const std::vector<int> & triangle,
                 int64_t n_output = 1) {
    check_steps(accel_device(nullptr), shape, steps, triangle, n_output);
}

// A whole prompt; then its decode row, another's whole prompt and the start of a third's; then three that go on.
std::vector<step> steps_of_three_users(fake_cache & cache) {
    std::vector<step> steps;
    steps.push_back(prompt_step(cache, 0, 120, last_rows(120)));
    steps.push_back(mixed_step(cache, {{0, 1}, {1, 70}, {2, 49}},
                               [](int64_t row) { return row < 1 || (row >= 55 && row < 71) || row >= 104; }));
    steps.push_back(mixed_step(cache, {{1, 1}, {2, 80}, {0, 39}},
                               [](int64_t row) { return row < 1 || (row >= 65 && row < 81) || row >= 104; }));
    return steps;
}

TEST_F(backend_test, exact_without_a_plan) {
    fake_cache cache(256);
    std::vector<step> steps;
    for (int i = 0; i < 3; ++i) {
        steps.push_back(prompt_step(cache, 0, 80, k_every_row));
    }
    check_steps({}, steps, {});
    EXPECT_EQ(stats()["nodes"]["dense"], 9);
    EXPECT_EQ(stats()["ubatches"]["all"], 3) << "one classification an evaluation, not one a layer";
    EXPECT_EQ(stats()["pairs"]["skipped"], 0);
}

TEST_F(backend_test, has_events_or_no_gpu_of_the_host_could_be_pipelined) {
    ggml_backend_dev_props props;
    ggml_backend_dev_get_props(ours(), &props);
    EXPECT_TRUE(props.caps.async);
    EXPECT_TRUE(props.caps.events);
    const ggml_backend_t backend = ggml_backend_dev_init(ours(), nullptr);
    const ggml_backend_event_t event = ggml_backend_event_new(ours());
    ASSERT_NE(event, nullptr);
    EXPECT_EQ(event->device, ours());
    ggml_backend_event_record(event, backend);
    ggml_backend_event_wait(backend, event);
    ggml_backend_event_synchronize(event);
    ggml_backend_event_free(event);
    ggml_backend_free(backend);
}

TEST_F(backend_test, exact_with_every_key_type) {
    for (const ggml_type type : {GGML_TYPE_F32, GGML_TYPE_F16, GGML_TYPE_BF16, GGML_TYPE_Q8_0, GGML_TYPE_Q4_0}) {
        SCOPED_TRACE(ggml_type_name(type));
        mini_shape shape{.n_layer = 1, .kv_type = type};
        fake_cache cache(128);
        const step now = prompt_step(cache, 0, 96, k_every_row);
        mini_model tested(shape, 96, 128, 1, ours());
        mini_model reference(shape, 96, 128, 1, nullptr);
        ASSERT_TRUE(tested.compute(now.ubatch, now.users));
        ASSERT_TRUE(reference.compute(now.ubatch, now.users));
        EXPECT_EQ(tested.n_ours(), 1);
        EXPECT_LT(nmse(tested.output(0), reference.output(0)), 5e-4) << "stock rounds queries to 8 bits here";
    }
}

TEST_F(backend_test, a_plan_is_the_mask_it_stands_for) {
    apply(with_plan(triangle_plan({1, 2})));
    fake_cache cache(256);
    std::vector<step> steps;
    for (int i = 0; i < 3; ++i) {
        steps.push_back(prompt_step(cache, 0, 80, last_rows(80), i == 2));
        steps.back().ubatch.output_rows = {79};
    }
    check_steps({}, steps, {1, 2});
    const nlohmann::json now = stats();
    EXPECT_EQ(now["nodes"]["triangle"], 6);
    EXPECT_EQ(now["nodes"]["dense"], 3);
    EXPECT_EQ(now["nodes"]["masked"], 0);
    EXPECT_EQ(now["runs"]["planned"], 6);
    EXPECT_GT(now["pairs"]["skipped"], 0);
    EXPECT_TRUE(now["fallbacks"].empty());
    EXPECT_EQ(now["layers"].size(), 3u);
}

TEST_F(backend_test, a_plan_does_change_the_result) {
    apply(with_plan(triangle_plan({0})));
    fake_cache cache(256);
    const step now = prompt_step(cache, 0, 200, last_rows(200));
    mini_model tested({}, 200, 256, 1, ours());
    mini_model exact({}, 200, 256, 1, nullptr);
    ASSERT_TRUE(tested.compute(now.ubatch, now.users));
    ASSERT_TRUE(exact.compute(now.ubatch, now.users));
    EXPECT_GT(nmse(tested.output(0), exact.output(0)), k_other);
    EXPECT_LT(nmse(tested.output(1), exact.output(1)), k_same);
}

TEST_F(backend_test, mixed_ubatches_are_treated_by_the_plan) {
    apply(with_plan(triangle_plan({0, 1, 2})));
    fake_cache cache(512);
    check_steps({}, steps_of_three_users(cache), {0, 1, 2});
    const nlohmann::json now = stats();
    EXPECT_EQ(now["ubatches"]["several_runs"], 2);
    EXPECT_EQ(now["ubatches"]["with_masked_rows"], 0);
    EXPECT_EQ(now["nodes"]["triangle"], 9);
}

TEST_F(backend_test, cells_out_of_order) {
    apply(with_plan(triangle_plan({0, 2})));
    fake_cache cache(256);
    std::vector<step> steps;
    cache.force_cells(cell_range(150, 230));
    steps.push_back(prompt_step(cache, 0, 80, last_rows(80)));
    cache.force_cells(cell_range(20, 100));
    steps.push_back(prompt_step(cache, 0, 80, last_rows(80)));
    check_steps({}, steps, {0, 2});
    EXPECT_EQ(stats()["ubatches"]["reordered"], 1);
}

TEST_F(backend_test, tail_policies) {
    const dense_row none = [](int64_t) { return false; };
    struct tail_case {
        tail_policy tail;
        int64_t prompt_length;
        bool output;
        dense_row dense;
    };
    const tail_case cases[] = {
        {tail_policy::chunk, -1, false, last_rows(100)},
        {tail_policy::output, -1, false, none},
        {tail_policy::output, -1, true, last_rows(100)},
        {tail_policy::prompt, 500, false, none},
        {tail_policy::prompt, 106, false, [](int64_t row) { return row >= 106 - k_shape.n_last; }},
        {tail_policy::prompt, -1, false, last_rows(100)},
    };
    for (const tail_case & each : cases) {
        SCOPED_TRACE(std::string(name_of(each.tail)) + " " + std::to_string(each.prompt_length));
        apply(with_plan(triangle_plan({0}, each.tail)));
        process_settings().set_prompt_length(each.prompt_length);
        fake_cache cache(128);
        const step now = prompt_step(cache, 0, 100, each.dense, each.output);
        check_steps({.n_layer = 1}, {now}, {0}, each.output ? 1 : 0);
    }
}

TEST_F(backend_test, output_rows_without_a_name_are_found) {
    apply(with_plan(triangle_plan({0, 1, 2})));
    fake_cache cache(256);
    check_steps({.named_outputs = false}, {prompt_step(cache, 0, 200, last_rows(200))}, {0, 1, 2});
    EXPECT_GT(stats()["pairs"]["skipped"], 0);
}

TEST_F(backend_test, without_out_ids_every_row_is_dense) {
    apply(with_plan(triangle_plan({0, 1, 2})));
    fake_cache cache(256);
    check_steps({.output_ids = false}, {prompt_step(cache, 0, 200, k_every_row)}, {});
    EXPECT_EQ(stats()["pairs"]["skipped"], 0);
}

TEST_F(backend_test, dense_heads_of_a_triangle_layer) {
    plan p = triangle_plan({0});
    p.layers[0].dense_head = {0, 1, 0, 1};
    apply(with_plan(p));
    fake_cache cache(256);
    const step now = prompt_step(cache, 0, 200, last_rows(200));
    mini_shape shape{.n_layer = 1};
    mini_model tested(shape, 200, 256, 1, ours());
    mini_model exact(shape, 200, 256, 1, nullptr);
    mini_model sparse(shape, 200, 256, 1, nullptr);
    ASSERT_TRUE(tested.compute(now.ubatch, now.users));
    ASSERT_TRUE(exact.compute(now.ubatch, now.users));
    ASSERT_TRUE(sparse.compute(spelled_out(now.ubatch, now.after, now.dense), now.users));
    std::vector<float> expected = exact.output(0);
    const std::vector<float> banded = sparse.output(0);
    for (size_t i = 0; i < expected.size(); ++i) {
        const size_t head = i / 32 % 4;
        expected[i] = head % 2 == 0 ? banded[i] : expected[i];
    }
    EXPECT_LT(nmse(tested.output(0), expected), k_same);
}

// Counts what goes through ggml's logger at warning level with that text in it.
class warning_counter {
  public:
    explicit warning_counter(std::string text) : text_(std::move(text)) {
        ggml_log_set(
            [](ggml_log_level level, const char * line, void * data) {
                auto & self = *static_cast<warning_counter *>(data);
                self.n += level == GGML_LOG_LEVEL_WARN && std::string(line).find(self.text_) != std::string::npos;
            },
            this);
    }
    ~warning_counter() { ggml_log_set(nullptr, nullptr); }
    warning_counter(const warning_counter &) = delete;
    warning_counter & operator=(const warning_counter &) = delete;

    int n = 0;

  private:
    std::string text_;
};

TEST_F(backend_test, a_prompt_far_beyond_what_the_plan_was_measured_on_is_said_once_a_context) {
    plan measured = triangle_plan({0, 1});
    measured.provenance = R"({"measured_up_to": 75})";
    apply(with_plan(measured));
    fake_cache cache(512);
    std::vector<step> steps;
    for (int i = 0; i < 4; ++i) {
        steps.push_back(prompt_step(cache, 0, 70, k_every_row));
    }
    warning_counter said("measured on prompts of up to 75 tokens, and this one has 210");
    const std::vector<int> expected = {0, 0, 1, 1};
    for (int context = 0; context < 2; ++context) {
        mini_model tested({.n_layer = 2}, 70, 512, 1, ours());
        for (size_t i = 0; i < steps.size(); ++i) {
            ASSERT_TRUE(tested.compute(steps[i].ubatch, steps[i].users));
            EXPECT_EQ(said.n, context + expected[i]) << "at " << 70 * (i + 1) << " tokens";
        }
    }
    // A dense model's length is no matter of the plan, nor is one that was not recorded.
    measured.layers.assign(2, {});
    apply(with_plan(measured));
    mini_model dense({.n_layer = 2}, 70, 512, 1, ours());
    EXPECT_TRUE(dense.compute(steps[3].ubatch, steps[3].users));
    EXPECT_EQ(said.n, 2);
}

TEST_F(backend_test, pairs_of_a_sliding_window_are_those_that_its_rows_see) {
    apply(with_plan(triangle_plan({1})));
    fake_cache cache(256);
    step now = prompt_step(cache, 0, 100, k_every_row);
    now.ubatch.hide_beyond(40);
    mini_model tested({.n_layer = 2}, 100, 256, 1, ours());
    ASSERT_TRUE(tested.compute(now.ubatch, now.users));
    const nlohmann::json pairs = stats()["pairs"];
    // Of each layer and head 40 rows see all before them and 60 see 40 cells; the plan has nothing to skip.
    EXPECT_EQ(pairs["kept"], 2 * 4 * 40 * 41 / 2);
    EXPECT_EQ(pairs["masked"], 2 * 4 * 60 * 40);
    EXPECT_EQ(pairs["skipped"], 0);
}

TEST_F(backend_test, irregular_masks_are_exact_and_counted) {
    apply(with_plan(triangle_plan({0})));
    fake_cache cache(256);
    step now = prompt_step(cache, 0, 100, k_every_row);
    now.ubatch.hide_beyond(40);
    // The first 40 rows, which the window does not reach, are a run: tail policy `chunk` keeps its last rows dense.
    now.dense = [](int64_t row) { return row >= 40 - k_shape.n_last; };
    check_steps({.n_layer = 2}, {now}, {0});
    const nlohmann::json counted = stats();
    EXPECT_EQ(counted["masked_rows"]["visible_count"], 120);
    EXPECT_EQ(counted["fallbacks"]["visible_count"], 1);
    EXPECT_EQ(counted["ubatches"]["with_masked_rows"], 1);
    EXPECT_EQ(counted["pairs"]["masked"], 2 * 4 * 60 * 40) << "layers, heads, rows beyond the window, its keys";
}

TEST_F(backend_test, strict_fails_where_a_triangle_layer_falls_back) {
    fake_cache cache(256);
    step now = prompt_step(cache, 0, 100, k_every_row);
    for (const int64_t row : {50, 51}) {
        now.ubatch.mask_at(row, 3) = ubatch_view::k_hidden;
    }
    mini_model tested({.n_layer = 2}, 100, 256, 1, ours());
    apply(with_plan(triangle_plan({1}), true));
    EXPECT_FALSE(tested.compute(now.ubatch, now.users));
    apply(with_plan(triangle_plan({1}), false));
    EXPECT_TRUE(tested.compute(now.ubatch, now.users));
    apply(with_plan(triangle_plan({}), true));
    EXPECT_TRUE(tested.compute(now.ubatch, now.users)) << "no triangle layer, nothing to fall back from";
    apply(with_plan(triangle_plan({1}), true));
    now.ubatch.mask_at(51, 3) = ubatch_view::k_visible;
    EXPECT_TRUE(tested.compute(now.ubatch, now.users)) << "one row keeps every key in any case";
}

TEST_F(backend_test, a_plan_of_another_model_is_refused) {
    plan p = triangle_plan({0, 1, 2});
    p.model.n_layer = 3;
    p.model.n_head = 9;
    p.model.n_head_kv = 2;
    p.model.d_head = 32;
    apply(with_plan(p));
    fake_cache cache(256);
    const step now = prompt_step(cache, 0, 200, k_every_row);
    check_steps({}, {now}, {});
    EXPECT_EQ(stats()["plan_refused"], "plan is for 9 heads, the model has 4");
    EXPECT_EQ(stats()["fallbacks"]["plan_refused"], 3);

    p.model.n_head = 4;
    apply(with_plan(p, true));
    mini_model fits({}, 200, 256, 1, ours());
    EXPECT_TRUE(fits.compute(now.ubatch, now.users));
    p.model.n_layer = 4;
    p.layers.resize(4);
    apply(with_plan(p, true));
    EXPECT_FALSE(fits.compute(now.ubatch, now.users)) << "strict";
}

TEST_F(backend_test, text_with_several_positions_a_row_is_planned) {
    apply(with_plan(triangle_plan({0, 1, 2}), true));
    fake_cache cache(256);
    std::vector<step> steps;
    steps.push_back(prompt_step(cache, 0, 100, last_rows(100)));
    steps.push_back(prompt_step(cache, 0, 100, last_rows(100)));
    check_steps({.pos_per_row = 4}, steps, {0, 1, 2});
    EXPECT_EQ(stats()["rows"]["planned"], 600);
    EXPECT_TRUE(stats()["fallbacks"].empty()) << stats()["fallbacks"];
}

TEST_F(backend_test, rows_of_an_image_are_exact_and_counted) {
    apply(with_plan(triangle_plan({0, 1, 2})));
    fake_cache cache(256);
    const dense_row last_of_the_text = [](int64_t row) { return row >= 100 - k_shape.n_last; };
    check_steps({.pos_per_row = 4, .text_rows = 100}, {prompt_step(cache, 0, 200, last_of_the_text)}, {0, 1, 2});
    EXPECT_EQ(stats()["rows"]["planned"], 300);
    EXPECT_EQ(stats()["masked_rows"]["positions_2d"], 300);
    EXPECT_EQ(stats()["fallbacks"]["positions_2d"], 3);
}

TEST_F(backend_test, a_model_without_positions_is_planned) {
    apply(with_plan(triangle_plan({0, 2}), true));
    fake_cache cache(512);
    check_steps({.pos_per_row = 0}, steps_of_three_users(cache), {0, 2});
    EXPECT_EQ(stats()["nodes"]["triangle"], 6);
    EXPECT_TRUE(stats()["masked_rows"].empty()) << stats()["masked_rows"];
}

// As with -ctk f32 -ctv f32, which llama.cpp casts to f16 for flash attention.
TEST_F(backend_test, keys_that_are_cast_have_their_layer) {
    apply(with_plan(triangle_plan({1, 2}), true));
    fake_cache cache(256);
    std::vector<step> steps;
    cache.force_cells(cell_range(150, 230));
    steps.push_back(prompt_step(cache, 0, 80, last_rows(80)));
    cache.force_cells(cell_range(20, 100));
    steps.push_back(prompt_step(cache, 0, 80, last_rows(80)));
    check_steps({.kv_type = GGML_TYPE_F32, .cast_keys = true}, steps, {1, 2});
    EXPECT_EQ(stats()["nodes"]["triangle"], 4);
    EXPECT_EQ(stats()["ubatches"]["reordered"], 1);
}

TEST_F(backend_test, attention_of_an_unknown_layer_is_a_fallback_of_any_plan) {
    fake_cache cache(256);
    const step now = prompt_step(cache, 0, 100, k_every_row);
    const mini_shape shape{.n_layer = 2, .named_caches = false};
    check_steps(shape, {now}, {});
    EXPECT_TRUE(stats()["fallbacks"].empty()) << "no plan";
    apply(with_plan(triangle_plan({0})));
    check_steps(shape, {now}, {});
    EXPECT_EQ(stats()["fallbacks"]["no_layer"], 2);
    apply(with_plan(triangle_plan({0}), true));
    mini_model strict(shape, 100, 256, 1, ours());
    EXPECT_FALSE(strict.compute(now.ubatch, now.users));
    apply(with_plan(triangle_plan({}), true));
    EXPECT_TRUE(strict.compute(now.ubatch, now.users)) << "no triangle layer, nothing to fall back from";
}

// What the log is told at warning level while this lives.
class warnings_heard {
  public:
    warnings_heard() {
        ggml_log_set(
            [](ggml_log_level level, const char * text, void * user) {
                if (level == GGML_LOG_LEVEL_WARN) {
                    static_cast<warnings_heard *>(user)->texts.emplace_back(text);
                }
            },
            this);
    }
    ~warnings_heard() { ggml_log_set(nullptr, nullptr); }
    warnings_heard(const warnings_heard &) = delete;
    warnings_heard & operator=(const warnings_heard &) = delete;

    std::vector<std::string> texts;
};

TEST_F(backend_test, a_triangle_layer_that_is_not_claimed_is_said_once) {
    apply(with_plan(triangle_plan({1})));
    const warnings_heard warnings;
    for (int i = 0; i < 2; ++i) {
        const mini_model unclaimed({.n_layer = 2, .d_head = 24}, 100, 256, 1, ours());
        EXPECT_EQ(unclaimed.n_ours(), 0);
    }
    ASSERT_EQ(warnings.texts.size(), 1u);
    EXPECT_NE(warnings.texts[0].find("triangle layer 1 of plan test is left to the host: dims"), std::string::npos)
        << warnings.texts[0];
}

TEST_F(backend_test, a_fallback_is_said_once_a_context) {
    const warnings_heard warnings;
    apply(with_plan(triangle_plan({1, 2})));
    fake_cache cache(256);
    step now = prompt_step(cache, 0, 100, k_every_row);
    now.ubatch.hide_beyond(40);
    mini_model first({}, 100, 256, 1, ours());
    for (int i = 0; i < 3; ++i) {
        EXPECT_TRUE(first.compute(now.ubatch, now.users));
    }
    ASSERT_EQ(warnings.texts.size(), 1u);
    const std::string & said = warnings.texts[0];
    EXPECT_NE(said.find("triangle layer 1 is computed exactly"), std::string::npos) << said;
    EXPECT_NE(said.find("visible_count"), std::string::npos) << said;
    mini_model second({}, 100, 256, 1, ours());
    EXPECT_TRUE(second.compute(now.ubatch, now.users));
    EXPECT_EQ(warnings.texts.size(), 2u);
}

TEST_F(backend_test, disabled_claims_nothing) {
    process_settings().set_enabled(false);
    mini_model untouched({}, 80, 128, 1, ours());
    EXPECT_EQ(untouched.n_ours(), 0);
    EXPECT_GT(stats()["declined"]["disabled"], 0);
}

TEST_F(backend_test, few_rows_are_left_to_the_cpu) {
    mini_model decode({}, 8, 128, 1, ours());
    EXPECT_EQ(decode.n_ours(), 0);
    backend_config config;
    config.min_rows = 1;
    apply(config);
    mini_model claimed({}, 8, 128, 1, ours());
    EXPECT_EQ(claimed.n_ours(), 3);
}

TEST_F(backend_test, plan_changes_hold_from_the_next_evaluation) {
    fake_cache cache(256);
    const step now = prompt_step(cache, 0, 200, last_rows(200));
    mini_model tested({}, 200, 256, 1, ours());
    ASSERT_TRUE(tested.compute(now.ubatch, now.users));
    const std::vector<float> exact = tested.output(0);
    plan p = triangle_plan({0, 1, 2});
    p.model = {"", 3, 4, 2, 32};
    settings & current = settings_of(tested);
    EXPECT_EQ(current.set_plan(write_plan(p).c_str()), "");
    ASSERT_TRUE(tested.compute(now.ubatch, now.users));
    EXPECT_GT(nmse(tested.output(0), exact), k_other);
    EXPECT_NE(current.set_plan("{\"broken\""), "");
    ASSERT_TRUE(tested.compute(now.ubatch, now.users));
    EXPECT_GT(nmse(tested.output(0), exact), k_other) << "a refused plan must leave the old one";
    EXPECT_EQ(current.set_plan(nullptr), "");
    ASSERT_TRUE(tested.compute(now.ubatch, now.users));
    EXPECT_EQ(tested.output(0), exact);
}

TEST_F(backend_test, precision) {
    EXPECT_NE(process_settings().set_precision("double"), "");
    EXPECT_EQ(process_settings().set_precision("exact"), "");
    const bool able = process_settings().precision_problem(precision::fast).empty();
    EXPECT_EQ(process_settings().set_precision("fast").empty(), able);

    // Asked for by other ways than set_precision, a CPU without it computes exactly and counts that.
    backend_config config;
    config.arithmetic = precision::fast;
    config.kernel = "avx2";
    const bool has_avx2 = settings::kernel_problem("avx2").empty();
    apply(has_avx2 ? config : backend_config{});
    if (has_avx2) {
        fake_cache cache(128);
        check_steps({}, {prompt_step(cache, 0, 100, k_every_row)}, {});
        EXPECT_EQ(stats()["fallbacks"]["fast_unavailable"], 1);
    }
}

}  // namespace
}  // namespace tmx::test
