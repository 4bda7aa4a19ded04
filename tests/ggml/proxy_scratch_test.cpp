// The device memory that a GPU proxy's kernels take for themselves: bounded, counted, reported, and given back.
#include <gtest/gtest.h>

#include "backend/statistics.h"
#include "ggml-cpp.h"
#include "nmse.h"
#include "proxy_fixture.h"

namespace tmx::test {
namespace {

constexpr int64_t k_mib = 1 << 20;

class proxy_scratch_test : public proxy_test {
  protected:
    static int64_t bytes(const char * which) { return stats()["gpu"]["scratch_bytes"][which]; }
    static int64_t free_of(ggml_backend_dev_t device) {
        size_t free = 0;
        size_t total = 0;
        ggml_backend_dev_memory(device, &free, &total);
        ggml_backend_dev_props props;
        ggml_backend_dev_get_props(device, &props);
        EXPECT_EQ(props.memory_free, free);
        EXPECT_EQ(total, size_t{4} << 30);
        return static_cast<int64_t>(free);
    }
    int64_t wrapped_free() { return free_of(gpu_.device()); }

    // One prompt on a context of its own, held against the CPU's.
    void check_prompt(proxy_device & proxy, const std::vector<int> & triangle) {
        fake_cache cache(256);
        check_steps(proxy.handle(), {}, {prompt_step(cache, 0, 100, last_rows(100))}, triangle);
    }
};

TEST_F(proxy_scratch_test, more_than_the_limit_is_left_to_the_wrapped_device) {
    for (const cuda_scratch_limit limit :
         {cuda_scratch_limit{.most_bytes = 64 * k_mib, .share = 1}, {.most_bytes = 1024 * k_mib, .share = 48}}) {
        process_statistics().reset();
        proxy_device proxy(nullptr, candidate_for(gpu_, &faults_), {.scratch = limit});
        apply_plan({1});
        faults_.scratch_needed = 64 * k_mib + 1;
        check_prompt(proxy, {});
        EXPECT_EQ(stats()["gpu"]["passed_on"]["out_of_memory: scratch memory is at its limit"], 3) << stats()["gpu"];
        EXPECT_EQ(stats()["fallbacks"]["device"], 1) << "of the triangle layer";
        EXPECT_EQ(bytes("peak"), 0);
        faults_.scratch_needed = 64 * k_mib;
        check_prompt(proxy, {1});
        EXPECT_EQ(bytes("peak"), 64 * k_mib);
        EXPECT_EQ(bytes("current"), 0) << "its context is gone";
    }
}

TEST_F(proxy_scratch_test, contexts_share_a_limit) {
    proxy_device proxy(nullptr, candidate_for(gpu_, &faults_), {.scratch = {.most_bytes = 100 * k_mib, .share = 1}});
    faults_.scratch_needed = 60 * k_mib;
    fake_cache cache(256);
    const step now = prompt_step(cache, 0, 100, k_every_row);
    mini_model first({}, 100, 256, 1, proxy.handle());
    ASSERT_TRUE(first.compute(now.ubatch, now.users));
    mini_model second({}, 100, 256, 1, proxy.handle());
    ASSERT_TRUE(second.compute(now.ubatch, now.users));
    EXPECT_EQ(bytes("current"), 60 * k_mib);
    EXPECT_EQ(stats()["nodes"]["dense"], 3);
    EXPECT_EQ(stats()["gpu"]["passed_on"].size(), 1u);
}

TEST_F(proxy_scratch_test, is_given_back_once_nothing_uses_it) {
    fake_gpu gpu({.asynchronous = false, .events = true});
    proxy_device proxy(nullptr, candidate_for(gpu, &faults_), {.idle_evaluations = 4});
    faults_.scratch_needed = 10 * k_mib;
    fake_cache cache(256);
    const step now = prompt_step(cache, 0, 100, k_every_row);
    mini_model model({}, 100, 256, 1, proxy.handle());
    const auto evaluate = [&](int64_t min_rows, int times) {
        backend_config config;
        config.min_rows = min_rows;
        apply(config);
        for (int i = 0; i < times; ++i) {
            ASSERT_TRUE(model.compute(now.ubatch, now.users));
        }
    };
    evaluate(1, 1);
    EXPECT_EQ(bytes("current"), 10 * k_mib);
    evaluate(1000, 3);
    EXPECT_EQ(bytes("current"), 10 * k_mib) << "between the ubatches of a prompt";
    evaluate(1, 5);
    evaluate(1000, 3);
    EXPECT_EQ(bytes("current"), 10 * k_mib) << "it was used again";
    faults_.busy = true;
    evaluate(1000, 3);
    EXPECT_EQ(bytes("current"), 10 * k_mib) << "something may still run";
    faults_.busy = false;
    evaluate(1000, 1);
    EXPECT_EQ(bytes("current"), 0);
    EXPECT_EQ(bytes("peak"), 10 * k_mib);
    evaluate(1, 1);
    EXPECT_EQ(bytes("current"), 10 * k_mib) << "and taken anew";
    EXPECT_EQ(stats()["nodes"]["dense"], 21);
    process_statistics().reset();
    EXPECT_EQ(bytes("peak"), 10 * k_mib) << "what is held outlives a reset";
}

TEST_F(proxy_scratch_test, what_may_still_be_taken_is_not_free) {
    EXPECT_EQ(free_of(proxy_.handle()), wrapped_free() * 3 / 4) << "a quarter, as long as that is below a gigabyte";
    proxy_device proxy(nullptr, candidate_for(gpu_, &faults_), {.scratch = {.most_bytes = 100 * k_mib, .share = 1}});
    EXPECT_EQ(free_of(proxy.handle()), wrapped_free() - 100 * k_mib);
    faults_.scratch_needed = 60 * k_mib;
    fake_cache cache(256);
    const step now = prompt_step(cache, 0, 100, k_every_row);
    {
        mini_model model({}, 100, 256, 1, proxy.handle());
        ASSERT_TRUE(model.compute(now.ubatch, now.users));
        EXPECT_EQ(free_of(proxy.handle()), wrapped_free() - 40 * k_mib) << "what is held is not counted twice";
    }
    EXPECT_EQ(free_of(proxy.handle()), wrapped_free() - 100 * k_mib);
}

}  // namespace
}  // namespace tmx::test
