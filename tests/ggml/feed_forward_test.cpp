// Feed-forward blocks behind a GPU proxy: taken out of the graph where they can be, and the host's otherwise.
#include "proxy_fixture.h"

#include "ggml-cpp.h"
#include "glue/proxy/feed_forward_view.h"
#include "nmse.h"

namespace tmx::test {
namespace {

// The CPU backend does not round the products before SWIGLU to f16.
constexpr double k_rounded = 1e-6;

class feed_forward_test : public proxy_test {
  protected:
    static backend_config any_rows() {
        backend_config config;
        config.products_min_rows = 1;
        return config;
    }

    void SetUp() override {
        proxy_test::SetUp();
        apply(any_rows());
    }

    // Twice the same prompt: the second evaluation's graph is known already.
    void check(const mini_shape & shape, int64_t n_rows = 120) {
        fake_cache cache(512);
        const ::tmx::test::step now = prompt_step(cache, 0, n_rows, k_every_row);
        mini_model tested(shape, n_rows, 512, 1, proxy_.handle());
        mini_model exact(shape, n_rows, 512, 1, nullptr);
        ASSERT_TRUE(exact.compute(now.ubatch, now.users));
        for (int repeat = 0; repeat < 2; ++repeat) {
            ASSERT_TRUE(tested.compute(now.ubatch, now.users));
            for (int layer = 0; layer < shape.n_layer; ++layer) {
                EXPECT_LT(nmse(tested.output(layer), exact.output(layer)), k_same);
                EXPECT_LT(nmse(tested.block_output(layer), exact.block_output(layer)), k_rounded);
            }
        }
    }

    static nlohmann::json counted() { return stats()["gpu"]["feed_forward"]; }
};

TEST_F(feed_forward_test, is_computed_in_one) {
    for (const bool up_first : {false, true}) {
        faults_.n_blocks = 0;
        check({.n_hidden = 192, .up_first = up_first});
        EXPECT_EQ(faults_.n_blocks, 6);
    }
    check({.n_hidden = 192, .add_rows = true});
    EXPECT_EQ(counted()["blocks"], 18);
    EXPECT_DOUBLE_EQ(counted()["flops"].get<double>(), 18 * 2.0 * 120 * 192 * 3 * 128);
    EXPECT_TRUE(counted()["passed_on"].empty()) << counted();
    EXPECT_TRUE(stats()["gpu"]["passed_on"].empty());
}

TEST_F(feed_forward_test, without_events_the_host_waits) {
    fake_gpu gpu({.events = false});
    proxy_device proxy(nullptr, candidate_for(gpu, &faults_));
    fake_cache cache(512);
    const mini_shape shape{.n_hidden = 160};
    const ::tmx::test::step now = prompt_step(cache, 0, 100, k_every_row);
    mini_model tested(shape, 100, 512, 1, proxy.handle());
    mini_model exact(shape, 100, 512, 1, nullptr);
    ASSERT_TRUE(tested.compute(now.ubatch, now.users));
    ASSERT_TRUE(exact.compute(now.ubatch, now.users));
    EXPECT_LT(nmse(tested.block_output(2), exact.block_output(2)), k_rounded);
    EXPECT_EQ(faults_.n_blocks, 3);
}

TEST_F(feed_forward_test, is_left_alone_where_products_are_off) {
    backend_config config = any_rows();
    config.products = product_way::off;
    apply(config);
    check({.n_hidden = 192});
    EXPECT_EQ(faults_.n_blocks, 0);
    EXPECT_GT(faults_.n_forwarded, 0) << "attention is still taken";
}

TEST_F(feed_forward_test, few_rows_are_left_to_the_wrapped_device) {
    apply({});
    check({.n_hidden = 192});
    EXPECT_EQ(counted()["passed_on"]["few rows"], 6);
    backend_config config = any_rows();
    config.products_min_rows = 121;
    apply(config);
    check({.n_hidden = 192});
    EXPECT_EQ(faults_.n_blocks, 0);
    EXPECT_EQ(counted()["passed_on"]["few rows"], 12);
}

TEST_F(feed_forward_test, what_the_kernels_do_not_cover_or_fail_at_is_the_wrapped_devices) {
    faults_.declines_blocks = "not today";
    check({.n_hidden = 192});
    EXPECT_EQ(counted()["passed_on"]["not today"], 6);
    faults_.declines_blocks = nullptr;
    faults_.block = status::error(status_code::device_error, "it broke");
    check({.n_hidden = 192});
    EXPECT_EQ(counted()["passed_on"]["it broke"], 6);
    EXPECT_EQ(counted()["blocks"], 0);
}

// What a graph may hold that looks like a block and is none.
class graph_of_block : public testing::Test {
  protected:
    graph_of_block() {
        const auto make = [&](ggml_type type, int64_t n_in, int64_t n_out) {
            return ggml_new_tensor_2d(context_, type, n_in, n_out);
        };
        x = make(GGML_TYPE_F32, 64, 16);
        w_gate = make(GGML_TYPE_F16, 64, 128);
        w_up = make(GGML_TYPE_F16, 64, 128);
        w_down = make(GGML_TYPE_F16, 128, 64);
        gate = ggml_mul_mat(context_, w_gate, x);
        up = ggml_mul_mat(context_, w_up, x);
        hidden = ggml_swiglu_split(context_, gate, up);
        out = ggml_mul_mat(context_, w_down, hidden);
    }
    ~graph_of_block() override { ggml_free(context_); }

    size_t n_found() {
        ggml_cgraph * graph = ggml_new_graph(context_);
        ggml_build_forward_expand(graph, out);
        if (also != nullptr) {
            ggml_build_forward_expand(graph, also);
        }
        const ggml_backend_ptr cpu(ggml_backend_init_by_type(GGML_BACKEND_DEVICE_TYPE_CPU, nullptr));
        const ggml_backend_buffer_ptr memory(ggml_backend_alloc_ctx_tensors(context_, cpu.get()));
        const std::vector<feed_forward_nodes> found = find_feed_forward(graph);
        for (const feed_forward_nodes & nodes : found) {
            EXPECT_EQ(nodes.gate, gate);
            EXPECT_EQ(nodes.up, up);
            EXPECT_EQ(nodes.down, out);
            EXPECT_EQ(nodes.out, sum != nullptr ? sum : out);
            EXPECT_EQ(nodes.added, sum != nullptr ? x : nullptr);
            EXPECT_TRUE(has_room(nodes)) << "each has memory of its own";
            feed_forward_nodes close = nodes;
            ggml_tensor over = *nodes.out;
            over.data = static_cast<char *>(nodes.hidden->data) + 16;
            close.out = &over;
            EXPECT_FALSE(has_room(close));
        }
        return found.size();
    }

    ggml_context * context_ = ggml_init({size_t{1} << 20, nullptr, true});
    ggml_tensor *x, *w_gate, *w_up, *w_down, *gate, *up, *hidden, *out;
    ggml_tensor * also = nullptr;
    ggml_tensor * sum = nullptr;  // that belongs to it
};

TEST_F(graph_of_block, is_found) {
    EXPECT_EQ(n_found(), 1u);
}

TEST_F(graph_of_block, is_found_with_its_sum) {
    sum = also = ggml_add(context_, x, out);
    EXPECT_EQ(n_found(), 1u);
}

TEST_F(graph_of_block, is_found_without_a_sum_that_is_not_its) {
    also = ggml_add(context_, out, ggml_new_tensor_1d(context_, GGML_TYPE_F32, 64));
    EXPECT_EQ(n_found(), 1u) << "of another shape";
}

TEST_F(graph_of_block, is_found_without_its_sum_where_somebody_else_reads_it) {
    also = ggml_add(context_, ggml_add(context_, out, x), out);
    EXPECT_EQ(n_found(), 1u);
}

TEST_F(graph_of_block, not_where_somebody_else_reads_what_lies_between) {
    also = ggml_scale(context_, gate, 2);
    EXPECT_EQ(n_found(), 0u);
}

TEST_F(graph_of_block, not_where_the_host_wants_what_lies_between) {
    ggml_set_output(hidden);
    EXPECT_EQ(n_found(), 0u);
}

TEST_F(graph_of_block, not_where_f32_is_asked_for) {
    out->op_params[0] = GGML_PREC_F32;
    EXPECT_EQ(n_found(), 0u);
}

TEST_F(graph_of_block, not_with_another_activation) {
    hidden = ggml_geglu_split(context_, gate, up);
    out = ggml_mul_mat(context_, w_down, hidden);
    EXPECT_EQ(n_found(), 0u);
}

TEST_F(graph_of_block, not_with_other_weights) {
    w_down = ggml_new_tensor_2d(context_, GGML_TYPE_Q8_0, 128, 64);
    out = ggml_mul_mat(context_, w_down, hidden);
    EXPECT_EQ(n_found(), 0u);
}

TEST_F(graph_of_block, not_where_something_is_added_between) {
    out = ggml_mul_mat(context_, w_down, ggml_scale(context_, hidden, 2));
    EXPECT_EQ(n_found(), 0u);
}

}  // namespace
}  // namespace tmx::test
