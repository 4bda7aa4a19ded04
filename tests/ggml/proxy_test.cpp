// The GPU proxy in front of a GPU that is none (fake_gpu.h): what it forwards, where it cuts graphs, that results are
// the CPU backend's, that nothing is computed before its inputs are there, and what happens when something goes wrong.
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "device_fixture.h"
#include "fake_gpu.h"
#include "ggml/cache_writes.h"
#include "ggml/control.h"
#include "ggml/proxy_device.h"
#include "ggml/settings.h"
#include "ggml/statistics.h"
#include "nmse.h"
#include "steps.h"

namespace tmx::test {
namespace {

class proxy_test : public device_fixture {
  protected:
    void SetUp() override {
        device_fixture::SetUp();
        apply({});
    }

    static void apply(backend_config config) {
        config.min_keys = 1;  // these graphs are small
        process_settings().apply(config);
    }

    static void apply_plan(const std::vector<int> & layers, bool strict = false) {
        apply(with_plan(triangle_plan(layers), strict));
    }

    // Everything that backend_test checks of the CPU device in one go: chunks, users mixed, cells out of order.
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
        steps.push_back(mixed_step(cache, {{1, 1}, {2, 80}, {0, 39}},
                                   [](int64_t row) { return row < 1 || (row >= 65 && row < 81) || row >= 104; }));
        return steps;
    }

    fake_gpu gpu_;
    executor_faults faults_;
    proxy_device proxy_{nullptr, candidate_for(gpu_, &faults_)};
};

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
    tested.restore(saved, 0, 64);
    sparse.restore(saved, 0, 64);
    both(prompt(1, 64, false));
    both(prompt(2, 192, false));
    EXPECT_EQ(stats()["nodes"]["triangle"], 12);
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
    static void check(proxy_device & proxy, int64_t second_cells, int32_t first_begin, int32_t second_begin,
                      bool ours) {
        fake_cache first(512);
        fake_cache second(second_cells);
        models both({.n_layer = 4, .second_cells = second_cells}, 512, proxy.handle());
        const dense_row dense = ours ? last_rows(64) : k_every_row;
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
    check(proxy_, 256, 300, 10, true);
    check(proxy_, 256, 10, 100, true);
    EXPECT_EQ(stats()["nodes"]["triangle"], 16);
    EXPECT_TRUE(stats()["gpu"]["passed_on"].empty()) << stats()["gpu"];
}

TEST_F(two_caches_test, masks_of_one_shape_that_differ_are_left_to_the_wrapped_device) {
    apply_plan({0, 1, 2, 3});
    check(proxy_, 512, 10, 100, false);
    EXPECT_EQ(stats()["gpu"]["passed_on"]["no_inputs"], 8);
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
        both.check(prompt_in(first, 1, cell_range(128, 192), last_rows(64)),
                   prompt_in(second, 1, cell_range(128, 192), last_rows(64)));
        EXPECT_EQ(stats()["nodes"]["triangle"], 12);
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
        process_settings().apply(config);
        const bool first_is_ours = min_keys <= 512;
        both.check(prompt_in(first, 0, backwards(100, 164), first_is_ours ? last_rows(64) : k_every_row),
                   prompt_in(second, 0, backwards(0, 64), k_every_row));
        apply_plan(layers);
        both.check(prompt_in(first, 0, cell_range(164, 228), last_rows(64)),
                   prompt_in(second, 0, cell_range(64, 128), last_rows(64)));
        EXPECT_EQ(stats()["nodes"]["triangle"], first_is_ours ? 30 : 20);
    }
}

TEST(write_journal_test, tells_each_reader_what_was_written_since) {
    const std::vector<std::byte> memory(write_journal::k_most_ranges * 2 + 100);
    const auto part = [&](size_t begin, size_t end) { return byte_range{memory.data() + begin, memory.data() + end}; };
    const byte_range cache = part(10, 50);
    write_journal journal;
    uint64_t seen = 0;
    uint64_t late = 0;
    const auto read = [&](uint64_t & reader) {
        std::vector<std::pair<int64_t, int64_t>> found;
        for (const byte_range & each : journal.since(reader, cache)) {
            found.emplace_back(each.begin - memory.data(), each.end - memory.data());
        }
        return found;
    };
    using ranges = std::vector<std::pair<int64_t, int64_t>>;
    EXPECT_EQ(read(seen), ranges{});
    journal.wrote(part(0, 12));
    journal.wrote(part(60, 70));
    journal.wrote(part(20, 25));
    journal.wrote(part(25, 30));
    EXPECT_EQ(read(seen), (ranges{{10, 12}, {20, 30}}));
    journal.wrote(part(30, 35));
    EXPECT_EQ(read(seen), (ranges{{30, 35}})) << "not part of what was read";
    EXPECT_EQ(read(seen), ranges{});
    EXPECT_EQ(read(late), (ranges{{10, 12}, {20, 30}, {30, 35}}));
    for (size_t i = 0; i < write_journal::k_most_ranges; ++i) {
        journal.wrote(part(60 + i * 2, 61 + i * 2));
    }
    EXPECT_EQ(read(late), ranges{}) << "all of them are still there";
    journal.wrote(part(60, 61));
    EXPECT_EQ(read(seen), (ranges{{10, 50}})) << "one is not";
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
    uint64_t seen = 0;
    const auto written = [&] {
        const auto * base = static_cast<const std::byte *>(keys->data);
        std::vector<std::pair<int64_t, int64_t>> found;
        for (const byte_range & each : cache_writes().since(seen, {base, base + ggml_nbytes(keys)})) {
            found.emplace_back(each.begin - base, each.end - base);
        }
        return found;
    };
    using ranges = std::vector<std::pair<int64_t, int64_t>>;
    static_cast<void>(written());
    const std::vector<float> data(32, 1.0f);
    ggml_backend_tensor_set(weight, data.data(), 0, ggml_nbytes(weight));
    EXPECT_EQ(written(), ranges{});
    ggml_backend_tensor_set(view, data.data(), 16, 32);
    EXPECT_EQ(written(), (ranges{{48, 80}}));
    ggml_backend_tensor_set_2d(keys, data.data(), 0, 4, 2, 16, 4);
    EXPECT_EQ(written(), (ranges{{0, 4}, {16, 20}}));
    ggml_backend_tensor_memset(keys, 0, 64, 16);
    EXPECT_EQ(written(), (ranges{{64, 80}}));
    ggml_backend_tensor_copy(same, keys);
    EXPECT_EQ(written(), (ranges{{0, 128}, {0, 128}})) << "the fake GPU cannot copy, so the host writes after all";
    ggml_backend_buffer_clear(buffer, 0);
    EXPECT_EQ(written(), (ranges{{0, 128}}));
    float value = 1.0f;
    ggml_backend_tensor_get(weight, &value, 0, sizeof(value));
    EXPECT_EQ(value, 0.0f) << "and the buffer does what it is asked for";
    ggml_backend_buffer_free(buffer);
    ggml_free(context);
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
    check_steps(proxy_.handle(), {.pos_per_row = 4}, {prompt_step(cache, 0, 200, k_every_row)}, {});
    EXPECT_EQ(stats()["gpu"]["passed_on"]["positions_2d"], 3);
    fake_cache other(256);
    check_steps(proxy_.handle(), {.output_ids = false}, {prompt_step(other, 0, 200, k_every_row)}, {});
    EXPECT_EQ(stats()["nodes"]["triangle"], 3);
    EXPECT_EQ(stats()["pairs"]["skipped"], 0);
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
