// Settings are a context's: several in one process, of one shape, addressed by number as a host would do it, through
// the proc addresses.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <thread>

#include "backend/host_context.h"
#include "device_fixture.h"
#include "fake_gpu.h"
#include "glue/accel_device.h"
#include "glue/control.h"
#include "glue/proxy/proxy_device.h"
#include "nmse.h"
#include "steps.h"
#include "trianglemix/backend_control.h"

namespace tmx::test {
namespace {

template <class Function>
Function proc(const char * name) {
    return reinterpret_cast<Function>(control_address(name));
}

const auto begin = proc<tmx_context_begin_t>(TMX_PROC_CONTEXT_BEGIN);
const auto end = proc<tmx_context_end_t>(TMX_PROC_CONTEXT_END);
const auto set_plan = proc<tmx_context_set_plan_t>(TMX_PROC_CONTEXT_SET_PLAN);
const auto set_precision = proc<tmx_context_set_precision_t>(TMX_PROC_CONTEXT_SET_PRECISION);
const auto set_prompt_length = proc<tmx_context_set_prompt_length_t>(TMX_PROC_CONTEXT_SET_PROMPT_LENGTH);
const auto statistics_of = proc<tmx_context_statistics_t>(TMX_PROC_CONTEXT_STATISTICS);
const auto reset_statistics_of = proc<tmx_context_reset_statistics_t>(TMX_PROC_CONTEXT_RESET_STATISTICS);

class host_context_test : public device_fixture {
  protected:
    void SetUp() override {
        device_fixture::SetUp();
        backend_config config;
        config.min_keys = 1;  // these graphs are small
        apply(config);
    }
};

std::string plan_text(const char * name, const std::vector<int> & layers, const mini_shape & shape = {}) {
    plan p = triangle_plan(layers, tail_policy::prompt);
    p.name = name;
    p.layers.resize(static_cast<size_t>(shape.n_layer));
    p.model = {"", shape.n_layer, static_cast<int32_t>(shape.n_head), static_cast<int32_t>(shape.n_head_kv),
               static_cast<int32_t>(shape.d_head)};
    return write_plan(p);
}

std::unique_ptr<mini_model> small_model(ggml_backend_dev_t device, const mini_shape & shape = {}) {
    return std::make_unique<mini_model>(shape, 100, 256, 0, device);
}

// Both chunks of a prompt of 200 rows, by a context that was told `plan_layers` and `prompt_length`, against what the
// plan stands for.
struct told_context {
    told_context(ggml_backend_dev_t device, const char * name, std::vector<int> plan_layers, int64_t prompt_length)
        : layers(std::move(plan_layers)), n_prompt(prompt_length), tested(small_model(device)) {
        EXPECT_EQ(set_plan(tested->context(), plan_text(name, layers).c_str()), nullptr);
        EXPECT_EQ(set_prompt_length(tested->context(), n_prompt), nullptr);
    }

    void next_chunk() {
        const int64_t first = cache.length(0);
        const step now = prompt_step(
            cache, 0, 100, [&](int64_t row) { return first + row >= n_prompt - k_shape.n_last; }, false);
        ASSERT_TRUE(tested->compute(now.ubatch, now.users));
        ASSERT_TRUE(exact->compute(now.ubatch, now.users));
        ASSERT_TRUE(sparse->compute(spelled_out(now.ubatch, now.after, now.dense), now.users));
        for (int layer = 0; layer < 3; ++layer) {
            const bool triangle = std::find(layers.begin(), layers.end(), layer) != layers.end();
            EXPECT_LT(nmse(tested->output(layer), (triangle ? sparse : exact)->output(layer)), k_same) << layer;
        }
    }

    std::vector<int> layers;
    int64_t n_prompt;
    fake_cache cache{256};
    std::unique_ptr<mini_model> tested;
    std::unique_ptr<mini_model> exact = small_model(nullptr);
    std::unique_ptr<mini_model> sparse = small_model(nullptr);
};

TEST_F(host_context_test, two_of_one_shape_keep_their_own_plan_and_prompt_length) {
    fake_gpu gpu;
    proxy_device proxy(nullptr, candidate_for(gpu));
    for (const ggml_backend_dev_t device : {accel_device(nullptr), proxy.handle()}) {
        SCOPED_TRACE(ggml_backend_dev_name(device));
        process_statistics().reset();
        told_context a(device, "a", {0, 1}, 200);
        told_context b(device, "b", {1, 2}, 300);
        for (int chunk = 0; chunk < 2; ++chunk) {
            a.next_chunk();
            b.next_chunk();
        }
        EXPECT_EQ(stats(*a.tested)["nodes"]["triangle"], 4);
        EXPECT_EQ(stats(*b.tested)["nodes"]["triangle"], 4);
        EXPECT_EQ(stats(*a.tested)["plan"], "a");
        EXPECT_EQ(stats()["nodes"]["triangle"], 8) << "the process counts all";
        EXPECT_EQ(stats()["plan"], nullptr) << "what a new context starts with";
        ASSERT_EQ(stats()["computed_with"].size(), 2u);
        EXPECT_NE(stats()["computed_with"][0].get<std::string>().find("plan a"), std::string::npos);
        EXPECT_EQ(reset_statistics_of(a.tested->context()), nullptr);
        EXPECT_EQ(stats(*a.tested)["nodes"]["triangle"], 0);
        EXPECT_EQ(stats(*b.tested)["nodes"]["triangle"], 4);
    }
}

TEST_F(host_context_test, keeps_what_it_started_with) {
    const auto set_process_plan = proc<tmx_set_plan_t>(TMX_PROC_SET_PLAN);
    ASSERT_EQ(set_process_plan(plan_text("first", {0, 1}).c_str()), nullptr);
    const auto early = small_model(accel_device(nullptr));
    ASSERT_EQ(set_process_plan(nullptr), nullptr);
    const auto late = small_model(accel_device(nullptr));
    for (mini_model * model : {early.get(), late.get()}) {
        fake_cache cache(256);
        const step now = prompt_step(cache, 0, 100, last_rows(100), false);
        ASSERT_TRUE(model->compute(now.ubatch, now.users));
    }
    EXPECT_EQ(stats(*early)["nodes"]["triangle"], 2);
    EXPECT_EQ(stats(*late)["nodes"]["triangle"], 0);
}

// A draft model beside the one that the plan is for.
TEST_F(host_context_test, a_plan_is_refused_where_it_does_not_fit_and_only_there) {
    const mini_shape draft_shape{.n_layer = 2};
    apply(with_plan(parse_plan(plan_text("main", {0, 1})).value));
    const auto main = small_model(accel_device(nullptr));
    const auto draft = small_model(accel_device(nullptr), draft_shape);
    const auto compute = [](mini_model & model) {
        fake_cache cache(256);
        const step now = prompt_step(cache, 0, 100, last_rows(100), false);
        ASSERT_TRUE(model.compute(now.ubatch, now.users));
    };
    compute(*main);
    compute(*draft);
    compute(*main);
    EXPECT_EQ(stats(*main)["plan_refused"], nullptr);
    EXPECT_EQ(stats(*main)["nodes"]["triangle"], 4);
    EXPECT_EQ(stats(*draft)["nodes"]["triangle"], 0);
    EXPECT_EQ(stats(*draft)["fallbacks"]["plan_refused"], 2);
    ASSERT_EQ(set_plan(draft->context(), plan_text("small", {1}, draft_shape).c_str()), nullptr);
    compute(*draft);
    EXPECT_EQ(stats(*draft)["nodes"]["triangle"], 1);
}

// llama.cpp starts one backend a GPU and the CPU device's for every context.
TEST_F(host_context_test, all_backends_of_a_context_follow_one_number) {
    fake_gpu gpu;
    proxy_device proxy(nullptr, candidate_for(gpu));
    const int64_t id = begin();
    const auto on_gpu = small_model(proxy.handle());
    const auto on_cpu = small_model(accel_device(nullptr));
    EXPECT_EQ(end(id), nullptr);
    EXPECT_EQ(set_plan(id, plan_text("both", {0, 1, 2}).c_str()), nullptr);
    for (mini_model * model : {on_gpu.get(), on_cpu.get()}) {
        fake_cache cache(256);
        const step now = prompt_step(cache, 0, 100, last_rows(100), false);
        ASSERT_TRUE(model->compute(now.ubatch, now.users));
    }
    EXPECT_EQ(nlohmann::json::parse(statistics_of(id))["nodes"]["triangle"], 6);
}

TEST_F(host_context_test, a_number_that_stands_for_nothing_is_an_error) {
    EXPECT_NE(end(12345), nullptr) << "never begun";
    const int64_t nothing = begin();
    EXPECT_EQ(set_prompt_length(nothing, 5), nullptr) << "before the context is made";
    EXPECT_NE(end(nothing), nullptr) << "no context was made";
    int64_t freed = 0;
    {
        const auto model = small_model(accel_device(nullptr));
        freed = model->context();
        EXPECT_EQ(set_precision(freed, "exact"), nullptr);
        EXPECT_NE(set_precision(freed, "double"), nullptr);
        EXPECT_NE(set_plan(freed, "{"), nullptr);
    }
    for (const int64_t id : {nothing, freed, int64_t{0}, int64_t{-1}}) {
        ASSERT_NE(set_plan(id, nullptr), nullptr);
        EXPECT_NE(std::string(set_plan(id, nullptr)).find(std::to_string(id)), std::string::npos);
        EXPECT_NE(set_prompt_length(id, 1), nullptr);
        EXPECT_NE(set_precision(id, "exact"), nullptr);
        EXPECT_NE(reset_statistics_of(id), nullptr);
        EXPECT_EQ(statistics_of(id), nullptr);
    }
}

TEST_F(host_context_test, a_try_that_is_freed_in_between_does_no_harm) {
    const int64_t id = begin();
    small_model(accel_device(nullptr)).reset();
    const auto model = small_model(accel_device(nullptr));
    EXPECT_EQ(end(id), nullptr);
    EXPECT_EQ(model->context(), id);
    EXPECT_NE(small_model(accel_device(nullptr))->context(), id) << "made after the end";
}

TEST_F(host_context_test, threads_make_and_change_theirs_side_by_side) {
    const size_t before = n_contexts();
    std::atomic<int> wrong = 0;
    const auto work = [&](const char * name) {
        for (int i = 0; i < 50; ++i) {
            const int64_t id = begin();
            const ggml_backend_t backend = ggml_backend_dev_init(accel_device(nullptr), nullptr);
            const bool ended = end(id) == nullptr;
            const bool set = set_plan(id, plan_text(name, {1}).c_str()) == nullptr;
            const char * read = statistics_of(id);
            const bool own = read != nullptr && nlohmann::json::parse(read)["plan"] == name;
            ggml_backend_free(backend);
            wrong += !ended || !set || !own || statistics_of(id) != nullptr;
        }
    };
    std::thread a(work, "a");
    std::thread b(work, "b");
    a.join();
    b.join();
    EXPECT_EQ(wrong, 0);
    EXPECT_EQ(n_contexts(), before);
}

}  // namespace
}  // namespace tmx::test
