// The GPU proxy in front of a GPU that is none (fake_gpu.h): what it forwards, where it cuts graphs, that results are
// the CPU backend's, that nothing is computed before its inputs are there, and what happens when something goes wrong.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <numeric>

#include "backend/runs/find_runs.h"
#include "backend/statistics.h"
#include "glue/control.h"
#include "nmse.h"
#include "proxy_fixture.h"

namespace tmx::test {
namespace {

TEST_F(proxy_test, is_the_wrapped_device_under_its_own_name) {
    const ggml_backend_dev_t device = proxy_.handle();
    EXPECT_STREQ(ggml_backend_dev_name(device), "TriangleMix0");
    EXPECT_EQ(ggml_backend_dev_type(device), GGML_BACKEND_DEVICE_TYPE_GPU);
    EXPECT_EQ(std::string(ggml_backend_dev_description(device)).find("fake GPU"), 0u);
    ggml_backend_dev_props props;
    ggml_backend_dev_get_props(device, &props);
    EXPECT_STREQ(props.name, "TriangleMix0");
    EXPECT_STREQ(props.device_id, "0000:00:fa.0") << "so that llama.cpp takes it for the same GPU, and skips one";
    EXPECT_EQ(props.memory_total, size_t{4} << 30);
    EXPECT_TRUE(props.caps.async);
    EXPECT_TRUE(props.caps.events);
    EXPECT_FALSE(props.caps.host_buffer);
    EXPECT_EQ(ggml_backend_dev_host_buffer_type(device), nullptr);
    EXPECT_EQ(device->iface.buffer_from_host_ptr, nullptr);
}

TEST_F(proxy_test, buffers_are_the_wrapped_devices) {
    const ggml_backend_dev_t device = proxy_.handle();
    const ggml_backend_buffer_type_t type = ggml_backend_dev_buffer_type(device);
    EXPECT_EQ(ggml_backend_buft_get_device(type), device) << "llama.cpp sums up memory by it";
    EXPECT_STREQ(ggml_backend_buft_name(type), "TriangleMix0");
    EXPECT_FALSE(ggml_backend_buft_is_host(type));
    EXPECT_EQ(ggml_backend_buft_get_alignment(type), ggml_backend_buft_get_alignment(gpu_.buffer_type()));
    for (const ggml_backend_buffer_type_t each : {type, gpu_.buffer_type()}) {
        EXPECT_TRUE(ggml_backend_dev_supports_buft(device, each));
    }
    EXPECT_FALSE(ggml_backend_dev_supports_buft(device, ggml_backend_cpu_buffer_type()));
    const ggml_backend_buffer_t buffer = ggml_backend_buft_alloc_buffer(type, 4096);
    ASSERT_NE(buffer, nullptr);
    EXPECT_EQ(ggml_backend_buffer_get_type(buffer), gpu_.buffer_type());
    ggml_backend_buffer_free(buffer);
    const ggml_backend_buffer_t none = ggml_backend_buft_alloc_buffer(type, 0);
    EXPECT_EQ(ggml_backend_buft_get_device(ggml_backend_buffer_get_type(none)), device);
    ggml_backend_buffer_free(none);
}

TEST_F(proxy_test, backends_see_each_other_unwrapped) {
    const ggml_backend_t a = ggml_backend_dev_init(proxy_.handle(), nullptr);
    const ggml_backend_t b = ggml_backend_dev_init(proxy_.handle(), nullptr);
    const ggml_backend_t plain = ggml_backend_dev_init(gpu_.device(), nullptr);
    EXPECT_TRUE(is_proxy(a));
    EXPECT_FALSE(is_proxy(plain));
    EXPECT_STREQ(ggml_backend_name(a), "TriangleMix0");
    EXPECT_EQ(a->device, proxy_.handle());
    EXPECT_FALSE(a->iface.cpy_tensor_async(b, a, nullptr, nullptr));
    EXPECT_FALSE(a->iface.cpy_tensor_async(plain, a, nullptr, nullptr));
    ASSERT_EQ(gpu_.copies.size(), 2u);
    EXPECT_EQ(gpu_.copies[0], std::pair(unwrapped(b), unwrapped(a)));
    EXPECT_EQ(gpu_.copies[1], std::pair(plain, unwrapped(a)));
    a->iface.graph_optimize(a, nullptr, nullptr);
    EXPECT_EQ(gpu_.n_optimized, 1);
    EXPECT_EQ(a->iface.set_tensor_2d_async, nullptr) << "what the wrapped backend lacks, the proxy lacks";
    EXPECT_EQ(a->iface.graph_plan_create, nullptr);
    const ggml_backend_event_t event = ggml_backend_event_new(proxy_.handle());
    EXPECT_EQ(event->device, gpu_.device());
    ggml_backend_event_record(event, a);
    ggml_backend_event_wait(b, event);
    ggml_backend_event_synchronize(event);
    ggml_backend_event_free(event);
    const auto set_n_threads =
        reinterpret_cast<ggml_backend_set_n_threads_t>(control_address("ggml_backend_set_n_threads"));
    set_n_threads(a, 3);
    for (const ggml_backend_t backend : {a, b, plain}) {
        ggml_backend_free(backend);
    }
}

TEST_F(proxy_test, exact_without_a_plan) {
    fake_cache cache(512);
    check_steps(proxy_.handle(), {}, busy_steps(cache), {});
    const nlohmann::json now = stats();
    EXPECT_EQ(now["nodes"]["dense"], 12);
    EXPECT_EQ(now["ubatches"]["all"], 4);
    EXPECT_EQ(now["ubatches"]["reordered"], 2);
    EXPECT_EQ(now["gpu"]["graphs"]["cut"], 4);
    EXPECT_TRUE(now["gpu"]["passed_on"].empty()) << now["gpu"];
    EXPECT_EQ(faults_.n_forwarded, 12);
    EXPECT_EQ(faults_.n_prepared, 4) << "once an evaluation and rule";
    for (const seen_graph & graph : gpu_.graphs) {
        EXPECT_FALSE(graph.has_attention);
    }
}

TEST_F(proxy_test, a_plan_is_the_mask_it_stands_for) {
    apply_plan({0, 2});
    fake_cache cache(512);
    check_steps(proxy_.handle(), {}, busy_steps(cache), {0, 2});
    const nlohmann::json now = stats();
    EXPECT_EQ(now["nodes"]["triangle"], 8);
    EXPECT_EQ(now["nodes"]["dense"], 4);
    EXPECT_GT(now["pairs"]["skipped"], 0);
    EXPECT_EQ(faults_.n_prepared, 8) << "two rules";
}

TEST_F(proxy_test, output_rows_without_a_name_are_found) {
    apply_plan({0, 2});
    fake_cache cache(512);
    check_steps(proxy_.handle(), {.named_outputs = false}, busy_steps(cache), {0, 2});
    EXPECT_GT(stats()["pairs"]["skipped"], 0);
}

TEST_F(proxy_test, without_events_the_host_waits) {
    for (const bool asynchronous : {false, true}) {
        fake_gpu gpu({.asynchronous = asynchronous, .events = false});
        proxy_device proxy(nullptr, candidate_for(gpu));
        apply_plan({1});
        fake_cache cache(512);
        check_steps(proxy.handle(), {}, busy_steps(cache), {1});
    }
}

TEST_F(proxy_test, masks_read_while_the_device_works) {
    proxy_device proxy(nullptr, candidate_for(gpu_, &faults_), {.deferred_mask_bytes = 1});
    apply_plan({0, 2});
    fake_cache cache(512);
    check_steps(proxy.handle(), {}, busy_steps(cache), {0, 2});
    EXPECT_TRUE(stats()["fallbacks"].empty()) << stats()["fallbacks"];
    EXPECT_TRUE(stats()["gpu"]["passed_on"].empty()) << stats()["gpu"];
}

// A hidden entry that the samples miss.
fake_ubatch irregular(const fake_ubatch & good) {
    for (int64_t row = 40; row < good.n_rows - 1; ++row) {
        for (int64_t cell = 1; cell < row; ++cell) {
            fake_ubatch bad = good;
            bad.mask_at(row, cell) = ubatch_view::k_hidden;
            cell_table fresh;
            if (find_runs_sampled(bad.view(), fresh, {})) {
                return bad;
            }
        }
    }
    ADD_FAILURE() << "samples see everything";
    return good;
}

TEST_F(proxy_test, a_mask_that_samples_misjudge_fails_once_and_is_exact_then) {
    proxy_device proxy(nullptr, candidate_for(gpu_, &faults_), {.deferred_mask_bytes = 1});
    fake_cache cache(256);
    step now = prompt_step(cache, 0, 120, k_every_row);
    now.ubatch = irregular(now.ubatch);
    mini_model tested({}, 120, 256, 1, proxy.handle());
    mini_model exact({}, 120, 256, 1, nullptr);
    EXPECT_FALSE(tested.compute(now.ubatch, now.users));
    EXPECT_EQ(stats()["fallbacks"]["mask_not_as_sampled"], 1);
    ASSERT_TRUE(tested.compute(now.ubatch, now.users));
    ASSERT_TRUE(exact.compute(now.ubatch, now.users));
    for (int layer = 0; layer < 3; ++layer) {
        EXPECT_LT(nmse(tested.output(layer), exact.output(layer)), k_same);
    }
    EXPECT_EQ(stats()["gpu"]["passed_on"]["visible_count"], 3);
}

TEST_F(proxy_test, decode_graphs_go_through_whole) {
    fake_cache cache(256);
    const step prompt = prompt_step(cache, 0, 8, k_every_row);
    mini_model tested({}, 8, 256, 1, proxy_.handle());
    mini_model same({}, 8, 256, 1, gpu_.device());
    for (int i = 0; i < 2; ++i) {
        gpu_.graphs.clear();
        ASSERT_TRUE(tested.compute(prompt.ubatch, prompt.users));
        const std::vector<seen_graph> by_proxy = gpu_.graphs;
        ASSERT_TRUE(same.compute(prompt.ubatch, prompt.users));
        ASSERT_EQ(by_proxy.size(), gpu_.graphs.size() - by_proxy.size()) << "a graph was cut";
        EXPECT_NE(by_proxy.front().uid, 0u) << "the scheduler's own graph, not a view";
        EXPECT_TRUE(by_proxy.front().has_attention);
        for (int layer = 0; layer < 3; ++layer) {
            EXPECT_EQ(tested.output(layer), same.output(layer)) << "bit for bit";
        }
    }
    EXPECT_EQ(stats()["gpu"]["graphs"]["whole"], 2);
    EXPECT_EQ(stats()["gpu"]["graphs"]["cut"], 0);
    EXPECT_EQ(stats()["ubatches"]["all"], 0);
}

// A device that captures graphs takes one for the one before it where the first node is the same.
TEST_F(proxy_test, parts_of_a_prompt_are_never_alike) {
    const auto n_alike = [&](int64_t n_rows) {
        fake_cache cache(512);
        const step prompt = prompt_step(cache, 0, n_rows, k_every_row);
        mini_model tested({}, n_rows, 512, 1, proxy_.handle());
        mini_model same({}, n_rows, 512, 1, gpu_.device());
        gpu_.graphs.clear();
        for (int i = 0; i < 3; ++i) {
            EXPECT_TRUE(tested.compute(prompt.ubatch, prompt.users));
        }
        int alike = 0;
        std::map<const ggml_tensor *, ggml_tensor> known;
        for (const seen_graph & graph : gpu_.graphs) {
            const auto [before, is_new] = known.try_emplace(graph.first, graph.first_was);
            alike += !is_new && std::memcmp(&before->second, &graph.first_was, sizeof(ggml_tensor)) == 0;
            before->second = graph.first_was;
        }
        EXPECT_TRUE(same.compute(prompt.ubatch, prompt.users));
        for (int layer = 0; layer < 3; ++layer) {
            EXPECT_LT(nmse(tested.output(layer), same.output(layer)), k_same);
        }
        return alike;
    };
    EXPECT_EQ(n_alike(300), 0);
    EXPECT_GT(n_alike(100), 0) << "of few rows, as of many users that decode: capturing pays there";
    EXPECT_GE(stats()["gpu"]["graphs"]["cut"], 6);
}

// Each layer is a graph of its own then, and the inputs' memory serves others after the first.
TEST_F(proxy_test, one_evaluation_in_several_graphs_is_classified_once) {
    apply_plan({0, 2}, true);
    fake_cache cache(512);
    check_steps(proxy_.handle(), {.host_between = true}, busy_steps(cache), {0, 2});
    const nlohmann::json now = stats();
    EXPECT_EQ(now["ubatches"]["all"], 4);
    EXPECT_EQ(now["gpu"]["graphs"]["cut"], 12) << "one a layer";
    EXPECT_EQ(now["nodes"]["triangle"], 8);
    EXPECT_TRUE(now["gpu"]["passed_on"].empty()) << now["gpu"];
    EXPECT_EQ(faults_.n_prepared, 8) << "two rules an evaluation";
}

TEST_F(proxy_test, irregular_masks_are_left_to_the_wrapped_device) {
    apply_plan({0});
    fake_cache cache(256);
    step now = prompt_step(cache, 0, 100, k_every_row);
    now.ubatch.hide_beyond(40);
    check_steps(proxy_.handle(), {.n_layer = 2}, {now}, {});
    const nlohmann::json counted = stats();
    EXPECT_EQ(counted["gpu"]["passed_on"]["visible_count"], 2);
    EXPECT_EQ(counted["fallbacks"]["visible_count"], 1) << "of the triangle layer";
    EXPECT_EQ(counted["pairs"]["kept"], 2 * 4 * (40 * 41 / 2)) << "layers, heads, rows that the window does not reach";
    EXPECT_EQ(counted["pairs"]["masked"], 2 * 4 * 60 * 40) << "the others' keys";
    EXPECT_EQ(counted["pairs"]["skipped"], 0);

    apply_plan({0}, true);
    mini_model strict({.n_layer = 2}, 100, 256, 1, proxy_.handle());
    EXPECT_FALSE(strict.compute(now.ubatch, now.users));
}

TEST_F(proxy_test, what_the_kernels_do_not_cover_is_left_to_the_wrapped_device) {
    faults_.declines = "no such kernel";
    fake_cache cache(512);
    check_steps(proxy_.handle(), {}, busy_steps(cache), {});
    EXPECT_EQ(stats()["gpu"]["passed_on"]["kernel: no such kernel"], 12);
    EXPECT_EQ(stats()["gpu"]["graphs"]["cut"], 1) << "once it was tried, graphs stay whole";
    EXPECT_EQ(stats()["gpu"]["graphs"]["whole"], 3);
    apply_plan({1}, true);
    fake_cache other(256);
    const step now = prompt_step(other, 0, 100, k_every_row);
    mini_model strict({}, 100, 256, 1, proxy_.handle());
    EXPECT_FALSE(strict.compute(now.ubatch, now.users));
}

TEST_F(proxy_test, sinks_and_softcap_are_computed_where_the_kernels_have_them) {
    const mini_shape shape{.sinks = true, .softcap = 3};
    faults_.features = &k_cuda_features;
    apply_plan({0, 2});
    fake_cache cache(512);
    check_steps(proxy_.handle(), shape, busy_steps(cache), {0, 2});
    EXPECT_EQ(faults_.n_forwarded, 12);
    EXPECT_TRUE(stats()["gpu"]["passed_on"].empty()) << stats()["gpu"];
}

TEST_F(proxy_test, sinks_and_softcap_are_left_to_the_wrapped_device_where_the_kernels_lack_them) {
    kernel_features without = k_cuda_features;
    without.sink_logit = false;
    without.logit_softcap = false;
    faults_.features = &without;
    for (const auto & [shape, reason] : {std::pair{mini_shape{.sinks = true}, "kernel: sink logits"},
                                         {mini_shape{.softcap = 3}, "kernel: logit softcap"},
                                         {mini_shape{.sinks = true, .softcap = 3}, "kernel: logit softcap"}}) {
        process_statistics().reset();
        fake_cache cache(512);
        check_steps(proxy_.handle(), shape, busy_steps(cache), {});
        EXPECT_EQ(stats()["gpu"]["passed_on"][reason], 12) << stats()["gpu"];
    }
    EXPECT_EQ(faults_.n_forwarded, 0);
}

TEST_F(proxy_test, failures_of_the_device_leave_the_host_alive_and_right) {
    apply_plan({1});
    const status failures[] = {status::error(status_code::out_of_memory, "no memory"),
                               status::error(status_code::device_error, "launch failed")};
    for (const bool prepares : {false, true}) {
        for (const status & failed : failures) {
            process_statistics().reset();
            faults_ = {};
            (prepares ? faults_.prepare : faults_.forward) = failed;
            fake_cache cache(512);
            check_steps(proxy_.handle(), {}, busy_steps(cache), {});
            const std::string reason = failed.code() == status_code::out_of_memory ? "out_of_memory" : "device_error";
            EXPECT_EQ(stats()["gpu"]["passed_on"][reason + ": " + failed.message()], 12) << stats()["gpu"];
            EXPECT_EQ(stats()["fallbacks"].size(), 1u) << stats()["fallbacks"];
            EXPECT_EQ(faults_.n_refused, prepares ? 8 : 0) << "not tried again for every layer";
        }
    }
}

TEST_F(proxy_test, without_an_executor_everything_is_passed_on) {
    proxy_candidate broken = candidate_for(gpu_);
    broken.make_executor = [](std::unique_ptr<attention_executor> &) {
        return status::error(status_code::out_of_memory, "no memory");
    };
    proxy_device proxy(nullptr, std::move(broken));
    fake_cache cache(512);
    check_steps(proxy.handle(), {}, busy_steps(cache), {});
    EXPECT_EQ(stats()["gpu"]["graphs"]["whole"], 4);
}

TEST_F(proxy_test, few_keys_are_left_to_the_wrapped_device) {
    process_settings().apply({});
    fake_cache cache(512);
    check_steps(proxy_.handle(), {}, busy_steps(cache), {});
    EXPECT_EQ(stats()["gpu"]["graphs"]["whole"], 4);
    fake_cache larger(1024);
    check_steps(proxy_.handle(), {}, {prompt_step(larger, 0, 70, k_every_row)}, {});
    EXPECT_EQ(stats()["nodes"]["dense"], 3);
}

TEST_F(proxy_test, disabled_passes_everything_on) {
    process_settings().set_enabled(false);
    fake_cache cache(512);
    check_steps(proxy_.handle(), {}, busy_steps(cache), {});
    EXPECT_EQ(stats()["gpu"]["graphs"]["whole"], 4);
    EXPECT_EQ(faults_.n_prepared, 0);
}

TEST_F(proxy_test, several_positions_a_row_and_missing_outputs) {
    apply_plan({0, 1, 2});
    fake_cache cache(256);
    check_steps(proxy_.handle(), {.pos_per_row = 4, .text_rows = 150}, {prompt_step(cache, 0, 200, k_every_row)}, {});
    EXPECT_EQ(stats()["gpu"]["passed_on"]["positions_2d"], 3) << "an image at the end";
    process_statistics().reset();
    fake_cache other(256);
    check_steps(proxy_.handle(), {.output_ids = false}, {prompt_step(other, 0, 200, k_every_row)}, {});
    EXPECT_EQ(stats()["nodes"]["triangle"], 3);
    EXPECT_EQ(stats()["pairs"]["skipped"], 0);
}

TEST_F(proxy_test, models_without_a_position_a_row) {
    apply_plan({0, 1, 2}, true);
    for (const int pos_per_row : {0, 4}) {
        SCOPED_TRACE(pos_per_row);
        process_statistics().reset();
        fake_cache cache(512);
        check_steps(proxy_.handle(), {.pos_per_row = pos_per_row}, busy_steps(cache), {0, 1, 2});
        EXPECT_EQ(stats()["nodes"]["triangle"], 12);
        EXPECT_TRUE(stats()["fallbacks"].empty()) << stats()["fallbacks"];
    }
}

TEST_F(proxy_test, keys_that_are_cast_have_their_layer) {
    apply_plan({1, 2}, true);
    fake_cache cache(512);
    check_steps(proxy_.handle(), {.kv_type = GGML_TYPE_F32, .cast_keys = true}, busy_steps(cache), {1, 2});
    EXPECT_EQ(stats()["nodes"]["triangle"], 8);
}

TEST_F(proxy_test, attention_of_an_unknown_layer_is_a_fallback_of_any_plan) {
    apply_plan({0});
    fake_cache cache(256);
    const step now = prompt_step(cache, 0, 100, k_every_row);
    const mini_shape shape{.n_layer = 2, .named_caches = false};
    check_steps(proxy_.handle(), shape, {now}, {});
    EXPECT_EQ(stats()["fallbacks"]["no_layer"], 2);
    apply_plan({0}, true);
    mini_model strict(shape, 100, 256, 1, proxy_.handle());
    EXPECT_FALSE(strict.compute(now.ubatch, now.users));
}

TEST_F(proxy_test, contexts_come_and_go) {
    apply_plan({0, 1, 2});
    for (int i = 0; i < 5; ++i) {
        fake_cache cache(256);
        check_steps(proxy_.handle(), {}, {prompt_step(cache, 0, 150, last_rows(150))}, {0, 1, 2});
    }
}

}  // namespace
}  // namespace tmx::test
