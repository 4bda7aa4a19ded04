// Masks that a GPU is not sent: results are what they are with them, whoever needs them.
#include "glue/buffers/late_masks.h"

#include "ggml-cpp.h"
#include "proxy_fixture.h"

namespace tmx::test {
namespace {

class late_masks_test : public proxy_test {
  protected:
    // Every mask is large enough to wait.
    proxy_limits eager_{.deferred_mask_bytes = 1};
    proxy_device waiting_{nullptr, candidate_for(gpu_, &faults_), eager_};

    static int64_t n_unsent() { return stats()["gpu"]["unsent_masks"].get<int64_t>(); }
};

TEST_F(late_masks_test, what_the_kernels_compute_needs_none) {
    fake_cache cache(512);
    check_steps(waiting_.handle(), {}, busy_steps(cache), {});
    EXPECT_EQ(n_unsent(), 4) << "one an evaluation";
    apply_plan({0, 2});
    fake_cache other(512);
    check_steps(waiting_.handle(), {}, busy_steps(other), {0, 2});
    EXPECT_EQ(n_unsent(), 8);
}

TEST_F(late_masks_test, small_ones_are_sent) {
    fake_cache cache(512);
    check_steps(proxy_.handle(), {}, busy_steps(cache), {});
    EXPECT_EQ(n_unsent(), 0);
}

TEST_F(late_masks_test, what_is_passed_on_gets_them) {
    faults_.declines = "not this one";
    fake_cache cache(512);
    check_steps(waiting_.handle(), {}, busy_steps(cache), {});
    EXPECT_EQ(n_unsent(), 0);
}

TEST_F(late_masks_test, what_fails_gets_them) {
    for (status executor_faults::*where : {&executor_faults::prepare, &executor_faults::forward}) {
        faults_.*where = status::error(status_code::device_error, "it broke");
        fake_cache cache(512);
        check_steps(waiting_.handle(), {}, busy_steps(cache), {});
        faults_.*where = {};
    }
    EXPECT_EQ(n_unsent(), 0);
}

TEST_F(late_masks_test, a_switched_off_device_gets_them) {
    process_settings().set_enabled(false);
    fake_cache cache(512);
    check_steps(waiting_.handle(), {}, busy_steps(cache), {});
    EXPECT_EQ(n_unsent(), 0);
}

// Nobody knows what later graphs of an evaluation need, and the original's memory serves other nodes by then.
TEST_F(late_masks_test, several_graphs_get_them) {
    fake_cache cache(512);
    check_steps(waiting_.handle(), {.host_between = true}, busy_steps(cache), {});
    EXPECT_EQ(n_unsent(), 0);
}

TEST_F(late_masks_test, few_rows_are_left_to_the_device_with_theirs) {
    fake_cache cache(256);
    const ::tmx::test::step prompt = prompt_step(cache, 0, 8, k_every_row);
    mini_model tested({}, 8, 256, 1, waiting_.handle());
    mini_model same({}, 8, 256, 1, gpu_.device());
    ASSERT_TRUE(tested.compute(prompt.ubatch, prompt.users));
    ASSERT_TRUE(same.compute(prompt.ubatch, prompt.users));
    for (int layer = 0; layer < 3; ++layer) {
        EXPECT_EQ(tested.output(layer), same.output(layer)) << "bit for bit";
    }
    EXPECT_EQ(n_unsent(), 0);
}

TEST_F(late_masks_test, memory_that_may_change_does_not_wait) {
    proxy_candidate candidate = candidate_for(gpu_, &faults_);
    candidate.pinned = [](const void *) { return false; };
    proxy_device proxy(nullptr, candidate, eager_);
    fake_cache cache(512);
    check_steps(proxy.handle(), {}, busy_steps(cache), {});
    EXPECT_EQ(n_unsent(), 0);
}

// The host writes a mask and reads it back, or reads it by a graph of another kind.
class one_mask : public late_masks_test {
  protected:
    void SetUp() override {
        late_masks_test::SetUp();
        context_.reset(ggml_init({size_t{1} << 20, nullptr, true}));
        mask = ggml_new_tensor_2d(context_.get(), GGML_TYPE_F16, 64, 32);
        ggml_set_name(mask, "TriangleMix0#attn_inp_kq_mask#0");
        sum = ggml_scale(context_.get(), ggml_cast(context_.get(), mask, GGML_TYPE_F32), 1);
        backend_.reset(ggml_backend_dev_init(waiting_.handle(), nullptr));
        memory_.reset(ggml_backend_alloc_ctx_tensors_from_buft(context_.get(), waiting_.buffer_type()));
        memory_->usage = GGML_BACKEND_BUFFER_USAGE_COMPUTE;
        ggml_backend_buffer_clear(memory_.get(), 0);
    }
    void TearDown() override {
        memory_.reset();
        backend_.reset();
        late_masks_test::TearDown();
    }
    std::vector<ggml_fp16_t> read() {
        std::vector<ggml_fp16_t> values(64 * 32);
        ggml_backend_tensor_get(mask, values.data(), 0, ggml_nbytes(mask));
        return values;
    }

    ggml_context_ptr context_;
    ggml_backend_ptr backend_;
    ggml_backend_buffer_ptr memory_;
    ggml_tensor * mask = nullptr;
    ggml_tensor * sum = nullptr;
    std::vector<ggml_fp16_t> ones_ = std::vector<ggml_fp16_t>(64 * 32, ggml_fp32_to_fp16(1));
};

TEST_F(one_mask, is_there_when_it_is_read) {
    ggml_backend_tensor_set(mask, ones_.data(), 0, ggml_nbytes(mask));
    EXPECT_EQ(read(), ones_);
}

TEST_F(one_mask, is_there_when_a_part_of_it_is_written) {
    ggml_backend_tensor_set(mask, ones_.data(), 0, ggml_nbytes(mask));
    const ggml_fp16_t two = ggml_fp32_to_fp16(2);
    ggml_backend_tensor_set(mask, &two, 6, sizeof(two));
    std::vector<ggml_fp16_t> expected = ones_;
    expected[3] = two;
    EXPECT_EQ(read(), expected);
}

TEST_F(one_mask, is_the_last_one_written) {
    const std::vector<ggml_fp16_t> zeros(64 * 32);
    ggml_backend_tensor_set(mask, zeros.data(), 0, ggml_nbytes(mask));
    ggml_backend_tensor_set(mask, ones_.data(), 0, ggml_nbytes(mask));
    EXPECT_EQ(read(), ones_);
}

TEST_F(one_mask, is_there_for_any_other_node) {
    ggml_cgraph * graph = ggml_new_graph(context_.get());
    ggml_build_forward_expand(graph, sum);
    ggml_backend_tensor_set(mask, ones_.data(), 0, ggml_nbytes(mask));
    ASSERT_EQ(ggml_backend_graph_compute(backend_.get(), graph), GGML_STATUS_SUCCESS);
    std::vector<float> values(64 * 32);
    ggml_backend_tensor_get(sum, values.data(), 0, ggml_nbytes(sum));
    EXPECT_EQ(values, std::vector<float>(64 * 32, 1));
}

// Once attention has read it, its memory serves other nodes, which read something else there.
TEST_F(one_mask, is_not_what_comes_to_lie_in_its_memory) {
    ggml_context * c = context_.get();
    ggml_tensor * q = ggml_new_tensor_3d(c, GGML_TYPE_F32, 32, 32, 2);
    ggml_tensor * k = ggml_new_tensor_3d(c, GGML_TYPE_F16, 32, 64, 2);
    ggml_tensor * v = ggml_new_tensor_3d(c, GGML_TYPE_F16, 32, 64, 2);
    ggml_tensor * attention = ggml_flash_attn_ext(c, q, k, v, mask, 1, 0, 0);
    ggml_tensor * later = ggml_new_tensor_1d(c, GGML_TYPE_F32, 16);
    ggml_cgraph * graph = ggml_new_graph(c);
    ggml_build_forward_expand(graph, attention);
    ggml_build_forward_expand(graph, ggml_scale(c, later, 2));
    later->data = mask->data;
    const auto n_dropped = [&](const std::vector<int> & ours) {
        ggml_backend_tensor_set(mask, ones_.data(), 0, ggml_nbytes(mask));
        late_masks masks;
        masks.take(graph);
        masks.settle(graph, ours);
        return masks.drop();
    };
    EXPECT_EQ(n_dropped({0}), 1u);
    EXPECT_EQ(n_dropped({}), 0u) << "sent for attention that is not ours";
    // A backend of several devices, or another host, may read it by a tensor of its own.
    ggml_tensor * same = ggml_dup_tensor(c, mask);
    ggml_set_name(same, mask->name);
    same->data = mask->data;
    attention->src[3] = same;
    EXPECT_EQ(n_dropped({0}), 1u);
    EXPECT_EQ(n_dropped({}), 0u);
    attention->src[3] = mask;
    ggml_build_forward_expand(graph, ggml_scale(c, ggml_view_1d(c, mask, 16, 64), 2));
    EXPECT_EQ(n_dropped({0}), 0u) << "a view of it is read";
}

// As where an evaluation was given up before its graph was computed: another buffer may get the memory.
TEST_F(one_mask, is_gone_when_another_buffer_has_its_memory) {
    ggml_backend_tensor_set(mask, ones_.data(), 0, ggml_nbytes(mask));
    ggml_backend_buffer same = *memory_;
    same.iface.free_buffer = nullptr;
    forget_masks_of(&same);
    EXPECT_EQ(read(), std::vector<ggml_fp16_t>(64 * 32)) << "as it was cleared";
}

TEST_F(one_mask, is_gone_when_its_buffer_is_cleared) {
    ggml_backend_tensor_set(mask, ones_.data(), 0, ggml_nbytes(mask));
    ggml_backend_buffer_clear(memory_.get(), 0);
    EXPECT_EQ(read(), std::vector<ggml_fp16_t>(64 * 32));
}

}  // namespace
}  // namespace tmx::test
