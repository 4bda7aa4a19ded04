// The CPU device and the order of cells: what it learns of restored states, and of evaluations whose attention is the
// host's.
#include <gtest/gtest.h>

#include "backend/settings.h"
#include "backend/statistics.h"
#include "device_fixture.h"
#include "glue/accel_device.h"
#include "mini_model.h"
#include "nmse.h"
#include "steps.h"

namespace tmx::test {
namespace {

class backend_cells_test : public device_fixture {
  protected:
    static ggml_backend_dev_t ours() { return accel_device(nullptr); }
};

// Between two prompts of a user, tokens are decoded whose attention is the host's, into cells that follow no order.
TEST_F(backend_cells_test, decoded_tokens_are_learned_though_the_host_computes_them) {
    backend_config config = with_plan(triangle_plan({0, 1, 2}), true);
    process_settings().apply(config);
    fake_cache cache(256);
    mini_model tested({}, 64, 256, 1, ours());
    mini_model sparse({}, 64, 256, 1, nullptr);
    const auto both = [&](const step & now) {
        for (mini_model * model : {&tested, &sparse}) {
            model->set_rows(now.ubatch.n_rows);
        }
        ASSERT_TRUE(tested.compute(now.ubatch, now.users));
        ASSERT_TRUE(sparse.compute(spelled_out(now.ubatch, now.after, now.dense), now.users));
        for (int layer = 0; layer < 3; ++layer) {
            EXPECT_LT(nmse(tested.output(layer), sparse.output(layer)), k_same) << "layer " << layer;
        }
    };
    both(prompt_step(cache, 0, 64, last_rows(64)));
    cache.force_cells({90, 70, 80, 200, 150});
    both(prompt_step(cache, 0, 5, k_every_row));
    EXPECT_EQ(tested.n_ours(), 0);
    both(prompt_step(cache, 0, 80, last_rows(80)));
    EXPECT_EQ(stats()["nodes"]["triangle"], 6);
    EXPECT_EQ(stats()["rows"]["unordered"], 0);
    EXPECT_TRUE(stats()["fallbacks"].empty());
}

// Keys that the host restores: known again if they were seen, else dense, counted, and forbidden where strict.
TEST_F(backend_cells_test, restored_states) {
    for (const bool seen : {true, false}) {
        SCOPED_TRACE(seen);
        process_settings().apply(with_plan(triangle_plan({0, 1, 2})));
        process_statistics().reset();
        const mini_shape shape{.rope = true};
        fake_cache cache(256);
        fake_cache elsewhere(256);
        mini_model tested(shape, 64, 256, 1, ours());
        mini_model sparse(shape, 64, 256, 1, nullptr);
        mini_model other(shape, 64, 256, 1, nullptr);
        const step first = prompt_step(seen ? cache : elsewhere, 0, 64, last_rows(64));
        const fake_ubatch spelled = spelled_out(first.ubatch, first.after, first.dense);
        ASSERT_TRUE((seen ? sparse : other).compute(spelled, first.users));
        if (seen) {
            ASSERT_TRUE(tested.compute(first.ubatch, first.users));
        }
        cache.remove(0);
        cache.place(0, cell_range(100, 164));
        const mini_model::state state = seen ? tested.save(0, 64) : other.save(0, 64);
        tested.restore(state, 100, 64);
        sparse.restore(state, 100, 64);
        const step next = prompt_step(cache, 0, 64, seen ? last_rows(64) : k_every_row);
        ASSERT_TRUE(tested.compute(next.ubatch, next.users));
        ASSERT_TRUE(sparse.compute(spelled_out(next.ubatch, next.after, next.dense), next.users));
        for (int layer = 0; layer < 3; ++layer) {
            EXPECT_LT(nmse(tested.output(layer), sparse.output(layer)), k_same) << "layer " << layer;
        }
        EXPECT_EQ(stats()["nodes"]["triangle"], seen ? 6 : 0);
        EXPECT_EQ(stats()["fallbacks"].value("cell_order", 0), seen ? 0 : 3);
        EXPECT_EQ(stats()["rows"]["unordered"], seen ? 0 : 3 * 48);
        apply(with_plan(triangle_plan({0, 1, 2}), true));
        tested.restore(other.save(0, 64), 192, 64);  // zeros, or what nobody saw
        cache.remove(0);
        cache.place(0, cell_range(192, 256));
        const step last = prompt_step(cache, 0, 64, k_every_row);
        EXPECT_FALSE(tested.compute(last.ubatch, last.users));
    }
}

}  // namespace
}  // namespace tmx::test
