// Our proxies behind llama.cpp's own RPC server, here on a thread of this process: it rebuilds each graph from what its
// client sends, so inputs are found by following what computes with them.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "device_fixture.h"
#include "fake_gpu.h"
#include "ggml-rpc.h"
#include "glue/proxy/cpu_proxy.h"
#include "glue/proxy/proxy_device.h"
#include "nmse.h"
#include "steps.h"

namespace tmx::test {
namespace {

// Of this machine; another process may take it before it is used.
int free_port() {
    const int probe = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof(address);
    EXPECT_EQ(bind(probe, reinterpret_cast<sockaddr *>(&address), length), 0);
    EXPECT_EQ(getsockname(probe, reinterpret_cast<sockaddr *>(&address), &length), 0);
    close(probe);
    return ntohs(address.sin_port);
}

template <class Function>
Function * rpc_function(const char * name) {
    ggml_backend_reg_t rpc = ggml_backend_reg_by_name("RPC");
    return rpc != nullptr ? reinterpret_cast<Function *>(ggml_backend_reg_get_proc_address(rpc, name)) : nullptr;
}

bool listens(int port) {
    const int probe = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(static_cast<uint16_t>(port));
    const bool connected = connect(probe, reinterpret_cast<sockaddr *>(&address), sizeof(address)) == 0;
    close(probe);
    return connected;
}

// A proxy must not move, nor end before the process does: servers and clients keep it.
proxy_device & kept(std::unique_ptr<proxy_device> made) {
    static auto & all = *new std::vector<std::unique_ptr<proxy_device>>;
    return *all.emplace_back(std::move(made));
}

proxy_device & cpu_proxy() {
    return kept(std::make_unique<proxy_device>(nullptr, *cpu_proxy_candidate(), k_no_scratch));
}

proxy_device & gpu_proxy() {
    return kept(std::make_unique<proxy_device>(nullptr, candidate_for(*new fake_gpu)));
}

using make_proxy = proxy_device & (*)();

class rpc_test : public device_fixture, public testing::WithParamInterface<make_proxy> {
  protected:
    void SetUp() override {
        device_fixture::SetUp();
        if (rpc_function<decltype(ggml_backend_rpc_start_server)>("ggml_backend_rpc_start_server") == nullptr) {
            GTEST_SKIP() << "this llama.cpp has no RPC backend (GGML_RPC)";
        }
    }

    // What a client has of a server that offers the proxy, with the process's settings as they are now. Both stay until
    // the process ends, since a server ends by no other way.
    static ggml_backend_dev_t serve(make_proxy make, const backend_config & config) {
        return serve_device(make().handle(), config);
    }

    static ggml_backend_dev_t serve_device(ggml_backend_dev_t offered, backend_config config) {
        config.min_keys = 1;  // these graphs are small
        apply(config);
        const auto start = rpc_function<decltype(ggml_backend_rpc_start_server)>("ggml_backend_rpc_start_server");
        const auto add = rpc_function<decltype(ggml_backend_rpc_add_server)>("ggml_backend_rpc_add_server");
        const int port = free_port();
        const std::string endpoint = "127.0.0.1:" + std::to_string(port);
        std::thread([start, endpoint, offered] {
            ggml_backend_dev_t devices[] = {offered};
            start(endpoint.c_str(), nullptr, 1, 1, devices);
        }).detach();
        for (int i = 0; i < 1000 && !listens(port); ++i) {
            std::this_thread::sleep_for(std::chrono::milliseconds(10));
        }
        return ggml_backend_reg_dev_get(add(endpoint.c_str()), 0);
    }

    static std::vector<step> busy_steps() {
        fake_cache cache(512);
        return busy_steps(cache);
    }

    // Chunks of a prompt, users mixed, cells out of order.
    static std::vector<step> busy_steps(fake_cache & cache) {
        std::vector<step> steps;
        steps.push_back(prompt_step(cache, 0, 120, last_rows(120)));
        steps.push_back(mixed_step(cache, {{0, 1}, {1, 70}, {2, 49}},
                                   [](int64_t row) { return row < 1 || (row >= 55 && row < 71) || row >= 104; }));
        std::vector<int32_t> cells = cell_range(400, 460);
        const std::vector<int32_t> lower = cell_range(300, 360);
        cells.insert(cells.end(), lower.begin(), lower.end());
        cache.force_cells(cells);
        steps.push_back(prompt_step(cache, 3, 120, last_rows(120)));
        cache.force_cells({});
        steps.push_back(mixed_step(cache, {{1, 1}, {3, 80}, {0, 39}},
                                   [](int64_t row) { return row < 1 || (row >= 65 && row < 81) || row >= 104; }));
        return steps;
    }

    static constexpr mini_shape k_rotary{.rope = true};
};

INSTANTIATE_TEST_SUITE_P(proxies, rpc_test, testing::Values(&cpu_proxy, &gpu_proxy),
                         [](const auto & which) { return which.param == &cpu_proxy ? "cpu" : "gpu"; });

TEST_P(rpc_test, without_a_plan_attention_is_ours_and_exact) {
    ggml_backend_dev_t device = serve(GetParam(), {});
    check_steps(device, k_rotary, busy_steps(), {});
    EXPECT_EQ(stats()["nodes"]["dense"], 3 * 4);
    EXPECT_EQ(stats()["rows"]["masked"], 0) << stats()["masked_rows"];
}

TEST_P(rpc_test, a_plan_means_what_it_means_in_one_process) {
    ggml_backend_dev_t device = serve(GetParam(), with_plan(triangle_plan({0, 2}), true));
    check_steps(device, k_rotary, busy_steps(), {0, 2});
    EXPECT_EQ(stats()["nodes"]["triangle"], 2 * 4);
    EXPECT_GT(stats()["pairs"]["skipped"], 0);
    EXPECT_EQ(stats()["fallbacks"], nlohmann::json::object());
}

// A server serves one client after the other, and the next one's caches may get the same addresses.
TEST_P(rpc_test, nothing_of_a_client_is_left_for_the_next) {
    ggml_backend_dev_t device = serve(GetParam(), with_plan(triangle_plan({0, 1, 2})));
    for (const bool backwards : {true, false}) {
        fake_cache cache(512);
        std::vector<int32_t> cells = cell_range(0, 120);
        if (backwards) {
            std::reverse(cells.begin(), cells.end());
        }
        cache.force_cells(cells);
        std::vector<step> steps = {prompt_step(cache, 0, 120, last_rows(120))};
        cache.force_cells({});
        steps.push_back(prompt_step(cache, 0, 120, last_rows(120)));
        check_steps(device, k_rotary, steps, {0, 1, 2});
    }
    EXPECT_EQ(stats()["nodes"]["triangle"], 3 * 4);
    EXPECT_EQ(stats()["fallbacks"], nlohmann::json::object());
}

TEST_P(rpc_test, a_plan_for_another_model_is_refused_for_that_one_only) {
    plan p = triangle_plan({0, 1, 2});
    p.model.n_layer = 3;
    p.model.n_head = 4;
    p.model.n_head_kv = 2;
    p.model.d_head = 32;
    ggml_backend_dev_t device = serve(GetParam(), with_plan(p));
    fake_cache cache(512);
    const step now = prompt_step(cache, 0, 120, last_rows(120));
    const auto n_triangle = [&] { return stats()["nodes"]["triangle"]; };
    check_steps(device, k_rotary, {now}, {0, 1, 2});
    EXPECT_EQ(n_triangle(), 3);
    mini_shape other = k_rotary;
    other.d_head = 64;
    check_steps(device, other, {now}, {});
    EXPECT_EQ(n_triangle(), 3);
    EXPECT_EQ(stats()["fallbacks"]["plan_refused"], 3);
    check_steps(device, k_rotary, {now}, {0, 1, 2});
    EXPECT_EQ(n_triangle(), 6);
}

// As in a part of a model without its end: whose logits are asked for only the other parts know.
TEST_P(rpc_test, rows_whose_outputs_are_not_shown_are_dense) {
    ggml_backend_dev_t device = serve(GetParam(), with_plan(triangle_plan({0, 1, 2})));
    mini_shape shape = k_rotary;
    shape.output_ids = false;
    fake_cache cache(512);
    check_steps(device, shape, {prompt_step(cache, 0, 120, k_every_row)}, {});
    EXPECT_EQ(stats()["pairs"]["skipped"], 0);
    EXPECT_EQ(stats()["fallbacks"]["output_rows"], 3);
}

TEST_P(rpc_test, a_ubatch_without_output_rows_is_known_to_have_none) {
    ggml_backend_dev_t device = serve(GetParam(), with_plan(triangle_plan({0, 1, 2}, tail_policy::output)));
    fake_cache cache(512);
    check_steps(device, k_rotary,
                {prompt_step(
                    cache, 0, 120, [](int64_t) { return false; }, false)},
                {0, 1, 2}, 0);
    EXPECT_EQ(stats()["nodes"]["triangle"], 3);
    EXPECT_EQ(stats()["fallbacks"], nlohmann::json::object());
}

TEST_P(rpc_test, output_rows_without_a_name_are_found) {
    ggml_backend_dev_t device = serve(GetParam(), with_plan(triangle_plan({0, 1, 2})));
    mini_shape shape = k_rotary;
    shape.named_outputs = false;
    check_steps(device, shape, busy_steps(), {0, 1, 2});
    EXPECT_EQ(stats()["fallbacks"], nlohmann::json::object());
}

TEST_P(rpc_test, without_positions_every_row_is_computed_exactly) {
    ggml_backend_dev_t device = serve(GetParam(), with_plan(triangle_plan({0, 1, 2})));
    fake_cache cache(512);
    check_steps(device, {}, {prompt_step(cache, 0, 120, k_every_row)}, {});
    EXPECT_EQ(stats()["pairs"]["skipped"], 0);
    EXPECT_EQ(stats()["fallbacks"]["no_inputs"], 3);
}

// Cells of a cache so large that masks are not kept as they were written (k_most_kept_bytes).
constexpr int64_t k_far_cells = 6000;

// A client's own proxy of what its server offers.
proxy_device & clients_proxy(ggml_backend_dev_t remote) {
    proxy_candidate candidate{.device = remote, .name = "TriangleMixRPC0", .kernel = "", .make_executor = {}};
    return kept(std::make_unique<proxy_device>(nullptr, std::move(candidate), k_no_scratch));
}

TEST_P(rpc_test, large_masks_take_few_bytes_between_proxies) {
    proxy_device & device = clients_proxy(serve(GetParam(), with_plan(triangle_plan({0, 2}), true)));
    fake_cache cache(k_far_cells);
    check_steps(device.handle(), k_rotary, busy_steps(cache), {0, 2});
    EXPECT_EQ(stats()["gpu"]["short_masks"], 4);
    EXPECT_EQ(stats()["nodes"]["triangle"], 2 * 4);
    EXPECT_EQ(stats()["rows"]["masked"], 0) << stats()["masked_rows"];
}

TEST_P(rpc_test, a_mask_that_is_not_short_goes_as_it_is) {
    proxy_device & device = clients_proxy(serve(GetParam(), {}));
    fake_cache cache(k_far_cells);
    step now = prompt_step(cache, 0, 120, k_every_row);
    for (int64_t row = 1; row < 120; row += 2) {
        for (int64_t cell = 0; cell < row; cell += 2) {
            now.ubatch.mask_at(row, cell) = ubatch_view::k_hidden;
        }
        for (int64_t cell = 200 + row % 4; cell < k_far_cells; cell += 4) {
            now.ubatch.mask_at(row, cell) = 0xfbff;  // the least finite number: hides as well
        }
    }
    check_steps(device.handle(), k_rotary, {now}, {});
    EXPECT_EQ(stats()["gpu"]["short_masks"], 0);
}

// As the device of an rpc-server that has nothing of ours.
TEST_P(rpc_test, a_server_that_does_not_understand_gets_masks_as_they_are) {
    ggml_backend_dev_t plain = GetParam()().wrapped();
    proxy_device & device = clients_proxy(serve_device(plain, {}));
    fake_cache cache(k_far_cells);
    check_steps(device.handle(), k_rotary, busy_steps(cache), {});
    EXPECT_EQ(stats()["gpu"]["short_masks"], 0);
}

TEST_P(rpc_test, a_model_with_two_caches) {
    ggml_backend_dev_t device = serve(GetParam(), with_plan(triangle_plan({0})));
    mini_shape shape = k_rotary;
    shape.second_cells = 256;
    mini_model tested(shape, 64, 512, 1, device);
    mini_model sparse(shape, 64, 512, 1, nullptr);
    fake_cache cache(512);
    fake_cache second(256);
    for (int i = 0; i < 2; ++i) {
        const step now = prompt_step(cache, 0, 64, last_rows(64));
        const step windowed = prompt_step(second, 0, 64, last_rows(64));
        ASSERT_TRUE(tested.compute(now.ubatch, now.users, &windowed.ubatch));
        const fake_ubatch spelled = spelled_out(now.ubatch, now.after, now.dense);
        ASSERT_TRUE(sparse.compute(spelled, now.users, &windowed.ubatch));
        EXPECT_LT(nmse(tested.output(0), sparse.output(0)), k_same);
    }
    EXPECT_EQ(stats()["nodes"]["triangle"], 2);
    EXPECT_EQ(stats()["nodes"]["dense"], 4);
    EXPECT_EQ(stats()["fallbacks"], nlohmann::json::object());
}

}  // namespace
}  // namespace tmx::test
