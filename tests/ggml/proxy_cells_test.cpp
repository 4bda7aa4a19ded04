// The GPU proxy and the order of cells: what it learns, what it forgets when the host writes or may have overwritten
// them, and models with two caches.
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "backend/statistics.h"
#include "glue/buffers/cache_writes.h"
#include "glue/control.h"
#include "glue/graph_inputs.h"
#include "nmse.h"
#include "proxy_fixture.h"

namespace tmx::test {
namespace {

// Keys cannot be read on a device, so what is known of a cell must not grow stale: rows that are not ours count, too.
TEST_F(proxy_test, cells_of_rows_that_are_passed_on_are_learned) {
    fake_cache cache(256);
    mini_model tested({}, 64, 256, 1, proxy_.handle());
    mini_model sparse({}, 64, 256, 1, nullptr);
    const auto both = [&](const step & now, int64_t min_rows) {
        backend_config config = with_plan(triangle_plan({0, 1, 2}));
        config.min_rows = min_rows;
        apply(config);
        EXPECT_TRUE(tested.compute(now.ubatch, now.users));
        EXPECT_TRUE(sparse.compute(spelled_out(now.ubatch, now.after, now.dense), now.users));
    };
    both(prompt_step(cache, 1, 64, last_rows(64)), 1);
    cache.remove(1);
    std::vector<int32_t> backwards = cell_range(0, 64);
    std::reverse(backwards.begin(), backwards.end());
    cache.force_cells(backwards);
    both(prompt_step(cache, 0, 64, last_rows(64)), 1000);
    EXPECT_EQ(stats()["gpu"]["graphs"]["whole"], 1);
    cache.force_cells(cell_range(64, 128));
    both(prompt_step(cache, 0, 64, last_rows(64)), 1);
    EXPECT_EQ(stats()["nodes"]["triangle"], 6);
    for (int layer = 0; layer < 3; ++layer) {
        EXPECT_LT(nmse(tested.output(layer), sparse.output(layer)), k_same);
    }
}

// A slot is restored over cells that were learned in another order; what is known of other users' cells stays known.
TEST_F(proxy_test, cells_that_a_restored_state_overwrites_are_forgotten) {
    apply_plan({0, 1, 2});
    fake_cache cache(256);
    mini_model tested({}, 64, 256, 1, proxy_.handle());
    mini_model sparse({}, 64, 256, 1, nullptr);
    mini_model saved({}, 64, 256, 1, nullptr);
    const auto prompt = [&](int32_t user, int32_t begin, bool backwards) {
        std::vector<int32_t> cells = cell_range(begin, begin + 64);
        if (backwards) {
            std::reverse(cells.begin(), cells.end());
        }
        cache.force_cells(cells);
        return prompt_step(cache, user, 64, last_rows(64));
    };
    const auto both = [&](const step & now) {
        ASSERT_TRUE(tested.compute(now.ubatch, now.users));
        ASSERT_TRUE(sparse.compute(spelled_out(now.ubatch, now.after, now.dense), now.users));
        for (int layer = 0; layer < 3; ++layer) {
            EXPECT_LT(nmse(tested.output(layer), sparse.output(layer)), k_same) << "layer " << layer;
        }
    };
    both(prompt(0, 0, true));
    both(prompt(2, 128, true));
    cache.remove(0);
    const step elsewhere = prompt(1, 0, false);
    ASSERT_TRUE(saved.compute(spelled_out(elsewhere.ubatch, elsewhere.after, elsewhere.dense), elsewhere.users));
    tested.restore(saved.save(0, 64), 0, 64);
    sparse.restore(saved.save(0, 64), 0, 64);
    step next = prompt(1, 64, false);
    next.dense = k_every_row;  // nobody knows the order of what was restored
    both(next);
    both(prompt(2, 192, false));
    EXPECT_EQ(stats()["nodes"]["triangle"], 9);
    EXPECT_EQ(stats()["fallbacks"]["cell_order"], 3);
    EXPECT_EQ(stats()["rows"]["unordered"], 3 * 48);
}

// Two caches, as of a model with windowed layers: cells (and masks) of one name, and perhaps of one shape.
class two_caches_test : public proxy_test {
  protected:
    // One model on the proxy and one on the CPU, whose masks spell out what a triangle layer drops.
    class models {
      public:
        models(const mini_shape & shape, int64_t n_cells, ggml_backend_dev_t device)
            : n_layer_(shape.n_layer),
              tested_(shape, 64, n_cells, 1, device),
              reference_(shape, 64, n_cells, 1, nullptr) {}

        // The same rows as each cache has them.
        void check(const step & first, const step & second) {
            ASSERT_TRUE(tested_.compute(first.ubatch, first.users, &second.ubatch));
            const fake_ubatch spelled = spelled_out(second.ubatch, second.after, second.dense);
            ASSERT_TRUE(reference_.compute(spelled_out(first.ubatch, first.after, first.dense), first.users, &spelled));
            for (int layer = 0; layer < n_layer_; ++layer) {
                EXPECT_LT(nmse(tested_.output(layer), reference_.output(layer)), k_same) << "layer " << layer;
            }
        }

      private:
        int n_layer_;
        mini_model tested_;
        mini_model reference_;
    };

    static std::vector<int32_t> backwards(int32_t begin, int32_t end) {
        std::vector<int32_t> cells = cell_range(begin, end);
        std::reverse(cells.begin(), cells.end());
        return cells;
    }

    static step prompt_in(fake_cache & cache, int32_t user, std::vector<int32_t> cells, const dense_row & dense) {
        cache.force_cells(std::move(cells));
        return prompt_step(cache, user, 64, dense);
    }

    // Two prompts of two users.
    static void check(proxy_device & proxy, int64_t second_cells, int32_t first_begin, int32_t second_begin) {
        fake_cache first(512);
        fake_cache second(second_cells);
        models both({.n_layer = 4, .second_cells = second_cells}, 512, proxy.handle());
        const dense_row dense = last_rows(64);
        for (int32_t user = 0; user < 2; ++user) {
            const int32_t a = first_begin + user * 64;
            const int32_t b = second_begin + user * 64;
            both.check(prompt_in(first, user, backwards(a, a + 64), dense),
                       prompt_in(second, user, cell_range(b, b + 64), dense));
        }
    }
};

TEST_F(two_caches_test, cells_are_those_that_the_mask_shows) {
    apply_plan({0, 1, 2, 3});
    check(proxy_, 256, 300, 10);
    check(proxy_, 256, 10, 100);
    EXPECT_EQ(stats()["nodes"]["triangle"], 16);
    EXPECT_TRUE(stats()["gpu"]["passed_on"].empty()) << stats()["gpu"];
}

TEST_F(two_caches_test, masks_of_one_shape_that_differ_are_read_where_the_device_has_them) {
    apply_plan({0, 1, 2, 3});
    check(proxy_, 512, 10, 100);
    EXPECT_EQ(stats()["nodes"]["triangle"], 8);
    EXPECT_TRUE(stats()["gpu"]["passed_on"].empty()) << stats()["gpu"];
}

TEST_F(two_caches_test, what_is_the_same_in_both_is_interchangeable) {
    apply_plan({0, 1, 2, 3});
    fake_cache cache(256);
    models both({.n_layer = 4, .second_cells = 256}, 256, proxy_.handle());
    const step now = prompt_in(cache, 0, backwards(0, 64), last_rows(64));
    both.check(now, now);
    EXPECT_EQ(stats()["nodes"]["triangle"], 4);
}

// User 0's one row sees the cell that it has in the other cache, too, so which list of cells is whose is open. The rows
// of user 1 overwrite cells that were learned in another order.
TEST_F(two_caches_test, cells_that_may_have_been_overwritten_are_forgotten) {
    for (const bool passed_whole : {false, true}) {
        SCOPED_TRACE(passed_whole);
        process_statistics().reset();
        apply_plan({0, 1, 2, 3});
        fake_cache first(512);
        fake_cache second(256);
        models both({.n_layer = 4, .second_cells = 256}, 512, proxy_.handle());
        both.check(prompt_in(first, 2, backwards(64, 128), last_rows(64)),
                   prompt_in(second, 2, backwards(65, 129), last_rows(64)));
        both.check(prompt_in(first, 0, cell_range(0, 64), last_rows(64)),
                   prompt_in(second, 0, cell_range(1, 65), last_rows(64)));
        first.remove(2);
        second.remove(2);
        first.force_cells(cell_range(64, 128));
        std::vector<int32_t> cells = cell_range(64, 128);
        cells[0] = 0;
        second.force_cells(cells);
        if (passed_whole) {
            backend_config config = with_plan(triangle_plan({0, 1, 2, 3}));
            config.min_rows = 1000;
            apply(config);
        }
        const std::vector<std::pair<int32_t, int>> rows = {{0, 1}, {1, 63}};
        both.check(mixed_step(first, rows, k_every_row), mixed_step(second, rows, k_every_row));
        EXPECT_EQ(stats()["gpu"]["passed_on"].value("no_inputs", 0), passed_whole ? 0 : 4);
        apply_plan({0, 1, 2, 3});
        both.check(prompt_in(first, 1, cell_range(128, 192), k_every_row),
                   prompt_in(second, 1, cell_range(128, 192), k_every_row));
        EXPECT_EQ(stats()["nodes"]["triangle"], 8);
        EXPECT_EQ(stats()["fallbacks"]["cell_order"], 4);
    }
}

TEST(forget_rows_test, all_of_a_cache_if_nothing_tells_the_cells) {
    cell_table table;
    table.learn(3, 0, {});
    forget_rows({}, table);
    EXPECT_EQ(table.position(3, {}), -1);
}

// Of many layers that take turns; and of a cache with too few keys for us, beside one that has enough.
TEST_F(two_caches_test, cells_of_nodes_that_are_passed_on_are_learned_of_both) {
    std::vector<int> layers(20);
    std::iota(layers.begin(), layers.end(), 0);
    for (const int64_t min_keys : {1000, 300}) {
        SCOPED_TRACE(min_keys);
        process_statistics().reset();
        fake_cache first(512);
        fake_cache second(256);
        models both({.n_layer = 20, .second_cells = 256}, 512, proxy_.handle());
        backend_config config = with_plan(triangle_plan(layers));
        config.min_keys = min_keys;
        device_fixture::apply(config);
        const bool first_is_ours = min_keys <= 512;
        both.check(prompt_in(first, 0, backwards(100, 164), first_is_ours ? last_rows(64) : k_every_row),
                   prompt_in(second, 0, backwards(0, 64), k_every_row));
        apply_plan(layers);
        both.check(prompt_in(first, 0, cell_range(164, 228), last_rows(64)),
                   prompt_in(second, 0, cell_range(64, 128), last_rows(64)));
        EXPECT_EQ(stats()["nodes"]["triangle"], first_is_ours ? 30 : 20);
    }
}

// Each layer is a graph of its own then, and the inputs' memory serves others after the first. The first layer's cache
// has too few keys for us.
TEST_F(two_caches_test, a_plan_applies_whichever_part_of_an_evaluation_is_ours) {
    fake_cache first(256);
    fake_cache second(512);
    models both({.n_layer = 4, .second_cells = 512, .host_between = true}, 256, proxy_.handle());
    backend_config config = with_plan(triangle_plan({0, 1, 2, 3}));
    config.min_keys = 300;
    for (const int n_plans : {1, 2}) {
        SCOPED_TRACE(n_plans);
        device_fixture::apply(config);
        both.check(prompt_in(first, 0, backwards(64 * (n_plans - 1), 64 * n_plans), k_every_row),
                   prompt_in(second, 0, backwards(64 * n_plans, 64 * (n_plans + 1)), last_rows(64)));
        EXPECT_EQ(stats()["nodes"]["triangle"], 2 * n_plans) << stats()["gpu"];
    }
    config.chosen.reset();
    device_fixture::apply(config);
    both.check(prompt_in(first, 1, cell_range(128, 192), k_every_row),
               prompt_in(second, 1, cell_range(192, 256), k_every_row));
    EXPECT_EQ(stats()["nodes"]["triangle"], 4) << "the plan of an earlier evaluation";
    EXPECT_EQ(stats()["nodes"]["dense"], 2);
    EXPECT_TRUE(stats()["fallbacks"].empty()) << stats()["fallbacks"];
}

TEST_F(two_caches_test, cells_of_later_parts_are_learned) {
    fake_cache first(512);
    fake_cache second(256);
    models both({.n_layer = 4, .second_cells = 256, .host_between = true}, 512, proxy_.handle());
    backend_config config = with_plan(triangle_plan({0, 1, 2, 3}));
    for (const int64_t min_rows : {int64_t{1000}, int64_t{1}}) {
        config.min_rows = min_rows;
        apply(config);
        const bool ours = min_rows == 1;
        both.check(
            prompt_in(first, 0, ours ? cell_range(164, 228) : backwards(100, 164), ours ? last_rows(64) : k_every_row),
            prompt_in(second, 0, ours ? cell_range(64, 128) : backwards(0, 64), ours ? last_rows(64) : k_every_row));
    }
    EXPECT_EQ(stats()["nodes"]["triangle"], 4);
}

// A conversation is saved, its cells are given to another, and it comes back elsewhere.
TEST_F(proxy_test, a_saved_state_that_comes_back_is_known_again) {
    apply_plan({0, 1, 2});
    for (const bool rope : {true, false}) {
        SCOPED_TRACE(rope);
        process_statistics().reset();
        fake_cache cache(256);
        const mini_shape shape{.rope = rope};
        mini_model tested(shape, 64, 256, 1, proxy_.handle());
        mini_model sparse(shape, 64, 256, 1, nullptr);
        const auto both = [&](const step & now) {
            ASSERT_TRUE(tested.compute(now.ubatch, now.users));
            ASSERT_TRUE(sparse.compute(spelled_out(now.ubatch, now.after, now.dense), now.users));
            for (int layer = 0; layer < 3; ++layer) {
                EXPECT_LT(nmse(tested.output(layer), sparse.output(layer)), k_same) << "layer " << layer;
            }
        };
        std::vector<int32_t> cells = cell_range(0, 64);
        std::reverse(cells.begin(), cells.end());
        cache.force_cells(cells);
        both(prompt_step(cache, 0, 64, last_rows(64)));
        const mini_model::state mine = tested.save(0, 64);
        const mini_model::state theirs = sparse.save(0, 64);
        cache.remove(0);
        cache.force_cells(cell_range(0, 64));
        both(prompt_step(cache, 1, 64, last_rows(64)));
        // User 0 comes back, in the order of its cells as they were.
        for (int32_t & cell : cells) {
            cell += 100;
        }
        cache.place(0, cells);
        tested.restore(mine, 100, 64);
        sparse.restore(theirs, 100, 64);
        cache.force_cells(cell_range(192, 256));
        both(prompt_step(cache, 0, 64, rope ? last_rows(64) : k_every_row));
        EXPECT_EQ(stats()["nodes"]["triangle"], rope ? 9 : 6);
        EXPECT_EQ(stats()["fallbacks"].value("cell_order", 0), rope ? 0 : 3);
    }
}

// Two prompts of a user with something between them; whether the plan treats the second one.
class between_prompts_test : public proxy_test {
  protected:
    template <class Between>
    static void check(proxy_device & proxy, const step & first, fake_cache & cache, const Between & between,
                      bool ordered) {
        mini_model tested({}, 64, 256, 1, proxy.handle());
        mini_model sparse({}, 64, 256, 1, nullptr);
        const auto both = [&](const step & now) {
            ASSERT_TRUE(tested.compute(now.ubatch, now.users));
            ASSERT_TRUE(sparse.compute(spelled_out(now.ubatch, now.after, now.dense), now.users));
            EXPECT_LT(nmse(tested.output(2), sparse.output(2)), k_same);
        };
        both(first);
        between(tested);
        process_statistics().reset();
        both(prompt_step(cache, 0, 64, ordered ? last_rows(64) : k_every_row));
        EXPECT_EQ(stats()["nodes"]["triangle"], ordered ? 3 : 0);
        EXPECT_EQ(stats()["fallbacks"].value("cell_order", 0), ordered ? 0 : 3);
    }
};

TEST_F(between_prompts_test, masked_rows_are_learned) {
    apply_plan({0, 1, 2});
    fake_cache cache(256);
    step windowed = prompt_step(cache, 0, 64, k_every_row);
    windowed.ubatch.hide_beyond(20);
    check(
        proxy_, windowed, cache, [](mini_model &) {}, true);
}

TEST_F(between_prompts_test, a_graph_that_rewrites_keys_leaves_nothing_known) {
    apply_plan({0, 1, 2});
    fake_cache cache(256);
    const step first = prompt_step(cache, 0, 64, last_rows(64));
    check(
        proxy_, first, cache, [](mini_model & model) { EXPECT_TRUE(model.rewrite_keys()); }, false);
}

TEST_F(proxy_test, cells_are_learned_while_the_device_is_switched_off) {
    apply_plan({0, 1, 2});
    fake_cache cache(256);
    mini_model tested({}, 64, 256, 1, proxy_.handle());
    mini_model sparse({}, 64, 256, 1, nullptr);
    settings_of(tested).set_enabled(false);
    std::vector<int32_t> backwards = cell_range(0, 64);
    std::reverse(backwards.begin(), backwards.end());
    cache.force_cells(backwards);
    const step before = prompt_step(cache, 0, 64, k_every_row);
    ASSERT_TRUE(tested.compute(before.ubatch, before.users));
    ASSERT_TRUE(sparse.compute(before.ubatch, before.users));
    settings_of(tested).set_enabled(true);
    const step now = prompt_step(cache, 0, 64, last_rows(64));
    ASSERT_TRUE(tested.compute(now.ubatch, now.users));
    ASSERT_TRUE(sparse.compute(spelled_out(now.ubatch, now.after, now.dense), now.users));
    EXPECT_LT(nmse(tested.output(2), sparse.output(2)), k_same);
    EXPECT_EQ(stats()["nodes"]["triangle"], 3);
}

TEST_F(proxy_test, notes_what_the_host_writes_to_key_caches) {
    const ggml_init_params params{size_t{1} << 20, nullptr, true};
    ggml_context * context = ggml_init(params);
    ggml_tensor * keys = ggml_new_tensor_2d(context, GGML_TYPE_F32, 4, 8);
    ggml_tensor * same = ggml_new_tensor_2d(context, GGML_TYPE_F32, 4, 8);
    ggml_tensor * view = ggml_view_2d(context, keys, 4, 4, keys->nb[1], keys->nb[1] * 2);
    ggml_tensor * weight = ggml_new_tensor_2d(context, GGML_TYPE_F32, 4, 8);
    ggml_set_name(keys, "cache_k_l0");
    ggml_set_name(weight, "blk.0.attn_k.weight");
    const ggml_backend_buffer_t buffer = ggml_backend_alloc_ctx_tensors_from_buft(context, proxy_.buffer_type());
    cache_watch watch(keys);
    using ranges = std::vector<std::pair<int64_t, int64_t>>;
    std::vector<cache_access> noted;
    const auto written = [&] {
        noted = *watch.take();
        ranges found;
        for (const cache_access & each : noted) {
            if (each.what == cache_access::kind::replaced) {
                found.emplace_back(each.first, each.first + each.n);
            }
        }
        return found;
    };
    const std::vector<float> data(32, 1.0f);
    ggml_backend_tensor_set(weight, data.data(), 0, ggml_nbytes(weight));
    EXPECT_EQ(written(), ranges{});
    ggml_backend_tensor_set(view, data.data(), 16, 32);
    EXPECT_EQ(written(), (ranges{{3, 5}}));
    EXPECT_EQ(noted[0].keys,
              (std::vector<uint64_t>(2, key_hash(reinterpret_cast<const std::byte *>(data.data()), 16))));
    std::vector<float> copy(8);
    ggml_backend_tensor_get(view, copy.data(), 16, 32);
    EXPECT_EQ(written(), ranges{});
    EXPECT_EQ(noted[0].first, 3);
    EXPECT_EQ(noted[0].keys.size(), 2u);
    ggml_backend_tensor_set_2d(keys, data.data(), 0, 4, 2, 16, 4);
    EXPECT_EQ(written(), (ranges{{0, 1}, {1, 2}}));
    ggml_backend_tensor_memset(keys, 0, 64, 16);
    EXPECT_EQ(written(), (ranges{{4, 5}}));
    ggml_backend_tensor_copy(same, keys);
    EXPECT_EQ(written(), (ranges{{0, 8}, {0, 8}})) << "the fake GPU cannot copy, so the host writes after all";
    ggml_backend_buffer_clear(buffer, 0);
    EXPECT_EQ(written(), (ranges{{0, 8}}));
    for (size_t i = 0; i < cache_watch::k_most_notes; ++i) {
        ggml_backend_tensor_memset(keys, 0, 0, 4);
    }
    EXPECT_TRUE(watch.take());
    for (size_t i = 0; i <= cache_watch::k_most_notes; ++i) {
        ggml_backend_tensor_memset(keys, 0, 0, 4);
    }
    EXPECT_FALSE(watch.take()) << "too many to keep";
    EXPECT_TRUE(watch.take());
    float value = 1.0f;
    ggml_backend_tensor_get(weight, &value, 0, sizeof(value));
    EXPECT_EQ(value, 0.0f) << "and the buffer does what it is asked for";
    ggml_backend_buffer_free(buffer);
    ggml_free(context);
}

}  // namespace
}  // namespace tmx::test
