// The GPU proxy in a host that runs out of memory: nothing is thrown into the host, which is C, and nothing that was
// written is lost from the record.
#include <gtest/gtest.h>

#include "failing_memory.h"
#include "ggml-cpp.h"
#include "glue/accel_device.h"
#include "glue/buffers/cache_writes.h"
#include "nmse.h"
#include "proxy_fixture.h"

namespace tmx::test {
namespace {

class proxy_memory_test : public proxy_test {
  protected:
    // Every allocation fails once, first to last, the later ones in larger steps.
    template <class Try>
    static int64_t fail_each(int64_t first, Try attempt) {
        int64_t n_good = first;
        while (attempt(n_good)) {
            n_good += 1 + (n_good - first) / 12;
        }
        return n_good;
    }
};

struct one_cache {
    explicit one_cache(ggml_backend_buffer_type_t type)
        : context(ggml_init({size_t{1} << 20, nullptr, true})),
          keys(ggml_new_tensor_2d(context.get(), GGML_TYPE_F32, 4, 1024)) {
        ggml_set_name(keys, "cache_k_l0");
        buffer.reset(ggml_backend_alloc_ctx_tensors_from_buft(context.get(), type));
    }
    ggml_context_ptr context;
    ggml_tensor * keys;
    ggml_backend_buffer_ptr buffer;
};

TEST_F(proxy_memory_test, what_the_host_writes_is_noted_or_counts_as_everything) {
    const one_cache cache(proxy_.buffer_type());
    cache_watch watch(cache.keys);
    const std::vector<float> data(4, 1.0f);
    const auto write = [&](size_t row) { ggml_backend_tensor_set(cache.keys, data.data(), row * 16, 16); };
    int n_lost = 0;
    fail_each(0, [&](int64_t n_good) {
        write(7);
        const failing_memory little(n_good);
        for (size_t row = 0; row < 64; ++row) {
            write(row);
        }
        ggml_backend_tensor_memset(cache.keys, 0, 0, 16);
        ggml_backend_buffer_clear(cache.buffer.get(), 0);
        const std::optional<std::vector<cache_access>> noted = watch.take();
        EXPECT_EQ(noted.has_value(), !little.failed());
        n_lost += !noted;
        return little.failed();
    });
    EXPECT_GT(n_lost, 3);
    write(3);
    EXPECT_EQ(watch.take()->size(), 1u) << "and then all is well again";
}

TEST_F(proxy_memory_test, a_buffer_or_a_backend_is_there_or_not) {
    // What the wrapped device allocates, which is made first, is not ours to guard.
    int64_t theirs = 0;
    {
        const failing_memory enough(1000);
        ggml_backend_free(ggml_backend_dev_init(gpu_.device(), nullptr));
        theirs = enough.used();
    }
    int n_refused = 0;
    fail_each(1, [&](int64_t n_good) {
        const failing_memory little(n_good);
        const ggml_backend_buffer_ptr buffer(ggml_backend_buft_alloc_buffer(proxy_.buffer_type(), 4096));
        n_refused += buffer == nullptr;
        return little.failed();
    });
    fail_each(theirs, [&](int64_t n_good) {
        const failing_memory little(n_good);
        const ggml_backend_ptr backend(ggml_backend_dev_init(proxy_.handle(), nullptr));
        n_refused += backend == nullptr;
        return little.failed();
    });
    EXPECT_GE(n_refused, 3);
}

TEST_F(proxy_memory_test, the_cpu_device_says_no_to_what_it_cannot_look_at) {
    backend_config config = with_plan(triangle_plan({0}));
    config.kernel = "a name that takes memory of its own";
    apply(config);
    const ggml_context_ptr context(ggml_init({size_t{1} << 20, nullptr, true}));
    ggml_tensor * q = ggml_new_tensor_3d(context.get(), GGML_TYPE_F32, 24, 128, 1);  // no dimension of our kernels
    ggml_tensor * k = ggml_new_tensor_3d(context.get(), GGML_TYPE_F16, 24, 128, 1);
    ggml_tensor * v = ggml_new_tensor_3d(context.get(), GGML_TYPE_F16, 24, 128, 1);
    ggml_set_name(k, "cache_k_l0");
    const ggml_tensor * node = ggml_flash_attn_ext(context.get(), q, k, v, nullptr, 1.0f, 0.0f, 0.0f);
    const int64_t n_good = fail_each(0, [&](int64_t n) {
        const failing_memory little(n);
        EXPECT_FALSE(ggml_backend_dev_supports_op(accel_device(nullptr), node));
        return little.failed();
    });
    EXPECT_GT(n_good, 0) << "it takes memory, and a host without any lives on";
}

TEST_F(proxy_memory_test, an_evaluation_fails_or_is_right) {
    const mini_shape shape{.n_layer = 2};
    mini_model sparse(shape, 64, 128, 1, nullptr);
    fake_cache cache(128);
    const step now = prompt_step(cache, 0, 64, last_rows(64));
    ASSERT_TRUE(sparse.compute(spelled_out(now.ubatch, now.after, now.dense), now.users));
    int n_failed = 0;
    for (const int64_t min_rows : {1, 1000}) {
        const bool ours = min_rows == 1;
        const int64_t n_good = fail_each(0, [&](int64_t n) {
            backend_config config = with_plan(triangle_plan({0, 1}), true);
            config.min_rows = min_rows;
            apply(config);
            mini_model tested(shape, 64, 128, 1, proxy_.handle());
            tested.set_inputs(now.ubatch, now.users);
            bool good = false;
            bool refused = false;
            {
                const failing_memory little(n);
                good = tested.run();
                refused = little.failed();
            }
            n_failed += !good;
            for (const bool again : {false, true}) {
                good = again ? tested.compute(now.ubatch, now.users) : good;
                EXPECT_TRUE(good || !again);
                for (int layer = 0; layer < 2 && good && ours; ++layer) {
                    EXPECT_LT(nmse(tested.output(layer), sparse.output(layer)), k_same)
                        << n << ", layer " << layer << (again ? ", again" : "");
                }
            }
            return refused;
        });
        EXPECT_GT(n_good, 10);
    }
    EXPECT_GT(n_failed, 10);
}

}  // namespace
}  // namespace tmx::test
