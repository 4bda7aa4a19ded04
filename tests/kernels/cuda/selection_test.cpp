// Selection on a GPU: the walks that the device makes are those that the CPU's bits mean; attention over them against
// the oracle; and nothing waits for the device.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <future>
#include <memory>
#include <thread>
#include <vector>

#include "cases.h"
#include "compare.h"
#include "device_problem.h"
#include "kernels/cuda/context.h"
#include "oracle.h"
#include "plain.h"
#include "selected_blocks.h"

namespace tmx::test {
namespace {

constexpr uint8_t k_selected[] = {1};

class cuda_selection_test : public cuda_kernel_test {};

// What the device holds of a work.
class work_on_host {
  public:
    explicit work_on_host(const cuda_work & work) : work_(work), bytes_(work.slab.bytes) {
        check_cuda(cudaDeviceSynchronize(), "attention");
        check_cuda(cudaMemcpy(bytes_.data(), work.slab.data, bytes_.size(), cudaMemcpyDeviceToHost), "cudaMemcpy");
    }
    template <typename T>
    const T * of(const T * device) const {
        return reinterpret_cast<const T *>(bytes_.data() + (reinterpret_cast<const uint8_t *>(device) -
                                                            static_cast<const uint8_t *>(work_.slab.data)));
    }

  private:
    const cuda_work & work_;
    std::vector<uint8_t> bytes_;
};

// Compares every item's walk with the blocks that the CPU lists for its rows and heads.
void expect_walks_of(const test_case & c, const attention_segment & segment, const block_lists & lists,
                     const cuda_work & work, const std::string & name) {
    const work_on_host host(work);
    const cuda::work_item * items = host.of<cuda::work_item>(work.items);
    const int32_t * first_ranks = host.of<int32_t>(work.first_ranks);
    const int64_t n_lists = lists_of(lists, segment.row_end - segment.row_begin);
    for (int32_t i = 0; i < work.n_items; ++i) {
        const cuda::item_place & place = items[i].place;
        const int64_t head = lists.per_query_head ? place.head_begin : place.head_kv;
        const int64_t list = head * n_lists + (place.rank_begin - segment.rank_begin) / lists.list_rows;
        std::vector<int32_t> expected;  // ranks of slices
        const int32_t end = place.rank_begin + place.n_rows;
        for (int64_t block = lists.begin[list]; block < lists.begin[list + 1]; ++block) {
            for (int32_t rank = lists.first_rank[block];
                 rank < std::min<int64_t>(end, lists.first_rank[block] + lists.block_keys); rank += cuda::k_slice) {
                expected.push_back(rank);
            }
        }
        const cuda::item_walk & walk = items[i].walk;
        ASSERT_EQ(static_cast<int32_t>(expected.size()), walk.n_slices) << name << ", item " << i;
        EXPECT_EQ(end, walk.key_end);
        for (int32_t slice = 0; slice < walk.n_slices; ++slice) {
            ASSERT_EQ(expected[static_cast<size_t>(slice)], cuda::slice_rank(walk, first_ranks, slice))
                << name << ", item " << i << ", slice " << slice;
        }
        const int32_t tile_slices = work.variant->tile_keys / cuda::k_slice;
        const int32_t n_tiles = cuda::divide_up(walk.n_slices, tile_slices);
        EXPECT_EQ(int64_t{n_tiles} * place.part / place.n_parts, walk.tile_begin);
        EXPECT_EQ(int64_t{n_tiles} * (place.part + 1) / place.n_parts, walk.tile_end);
        EXPECT_EQ(0, walk.full_begin);
        for (int32_t slice = 0; slice < walk.full_end * tile_slices; ++slice) {
            EXPECT_LE(expected[static_cast<size_t>(slice)] + cuda::k_slice - 1, place.rank_begin)
                << name << ", item " << i << ": a full tile needs a mask";
        }
    }
    EXPECT_GT(work.n_items, 0) << c.name;
}

TEST_P(cuda_selection_test, walks_are_the_cpus_and_attention_matches_the_same_mask) {
    for (const selection_case & each : selection_cases()) {
        const test_case & c = each.c;
        const std::unique_ptr<problem> p = selection_problem(c);
        const attention_segment & segment = p->segments[0];
        const std::vector<uint16_t> mask = selected_mask(c, segment, each.stride);
        call_output plain = make_output(c, *p);
        plain.args.mask = mask.data();
        plain.args.mask_stride_row = c.n_kv;
        std::vector<attention_segment> masked = p->segments;
        masked[0].masked = true;
        const std::vector<oracle_row> oracle = oracle_attention(plain.args, masked, 7);
        plain_attention(plain.args, masked, operands_of(c), 7);

        for (const bool per_query_head : {false, true}) {
            block_bitmap bits({c.n_head, {segment.rank_begin, segment.rank_begin + c.n_q}});
            ASSERT_TRUE(select_blocks(stride_rule(each.stride), p->args, segment, 1, bits).ok());
            if (!per_query_head) {
                bits = join_groups(bits, c.n_head_kv);
            }
            add_band(bits, segment.kept);
            const listed_bits listed(bits, per_query_head);

            call_output output = make_output(c, *p);
            device_problem device(*p, output);
            std::shared_ptr<cuda_work> work;
            const cuda_selection selection{cuda_selector_of(stride_rule(each.stride)), k_selected, per_query_head};
            const status made = cuda_prepare(device.args, p->segments, {}, *ctx, nullptr, work, selection);
            ASSERT_TRUE(made.ok()) << each.name << ": " << made.message();
            const status done = cuda_attention_forward(device.args, *work, *ctx, nullptr);
            ASSERT_TRUE(done.ok()) << each.name << ": " << done.message();
            expect_walks_of(c, segment, listed.lists(), *work, each.name);
            ASSERT_TRUE(device.fetch(output)) << "memory beside an output was written";
            EXPECT_EQ("", compare(oracle, plain.args, output.args, operands_of(c)).failure) << each.name;
        }
    }
}

TEST_P(cuda_selection_test, everything_selected_gives_the_bits_of_dense) {
    const test_case c = one_chunk(1024, 400, {});
    const std::unique_ptr<problem> p = selection_problem(c);
    std::vector<attention_segment> selected = p->segments;
    selected[0].kept = k_no_band;
    call_output dense = make_output(c, *p);
    call_output all = make_output(c, *p);
    device_problem first(*p, dense);
    device_problem second(*p, all);
    std::shared_ptr<cuda_work> work;
    std::shared_ptr<cuda_work> by_blocks;
    ASSERT_TRUE(cuda_prepare(first.args, p->segments, {}, *ctx, nullptr, work).ok());
    ASSERT_TRUE(cuda_prepare(second.args, selected, {}, *ctx, nullptr, by_blocks,
                             {cuda_selector_of(stride_rule(1)), k_selected, false})
                    .ok());
    ASSERT_TRUE(cuda_attention_forward(first.args, *work, *ctx, nullptr).ok());
    ASSERT_TRUE(cuda_attention_forward(second.args, *by_blocks, *ctx, nullptr).ok());
    check_cuda(cudaDeviceSynchronize(), "attention");
    if (facts_of(*work).block_keys != facts_of(*by_blocks).block_keys) {
        GTEST_SKIP() << "dense attention takes tiles that do not divide blocks here";
    }
    ASSERT_TRUE(first.fetch(dense) && second.fetch(all));
    EXPECT_EQ(0, std::memcmp(dense.out.data(), all.out.data(), dense.out.size()));
}

// Other segments of the same work keep the walks that the host made, call after call.
TEST_P(cuda_selection_test, same_bits_in_every_call_beside_banded_rows) {
    test_case c = one_chunk(800, 300, k_no_band);
    case_segment rest = c.segments[0];
    c.segments[0].rows.row_end = 200;
    rest.rows.row_begin = 200;
    rest.rows.rank_begin = 1000;
    rest.rows.kept = {};
    c.segments.push_back(rest);
    const std::unique_ptr<problem> p = selection_problem(c);
    constexpr uint8_t k_first[] = {1, 0};
    call_output once = make_output(c, *p);
    call_output again = make_output(c, *p);
    device_problem device(*p, once);
    std::shared_ptr<cuda_work> work;
    ASSERT_TRUE(cuda_prepare(device.args, p->segments, {}, *ctx, nullptr, work,
                             {cuda_selector_of(stride_rule(3)), k_first, false})
                    .ok());
    ASSERT_TRUE(cuda_attention_forward(device.args, *work, *ctx, nullptr).ok());
    check_cuda(cudaDeviceSynchronize(), "attention");
    ASSERT_TRUE(device.fetch(once));
    for (int i = 0; i < 3; ++i) {
        ASSERT_TRUE(cuda_attention_forward(device.args, *work, *ctx, nullptr).ok());
    }
    check_cuda(cudaDeviceSynchronize(), "attention");
    ASSERT_TRUE(device.fetch(again));
    EXPECT_EQ("", check_written(c, *p, once));
    EXPECT_EQ(0, std::memcmp(once.out.data(), again.out.data(), once.out.size()));
}

// The stream is held by a host function: a call that waited for the device, or for its count, would never come back.
TEST_P(cuda_selection_test, a_call_waits_for_nothing) {
    const test_case c = one_chunk(1000, 200, k_no_band);
    const std::unique_ptr<problem> p = selection_problem(c);
    const call_output output = make_output(c, *p);
    device_problem device(*p, output);
    cudaStream_t stream = nullptr;
    check_cuda(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "a stream");
    std::shared_ptr<cuda_work> work;
    ASSERT_TRUE(cuda_prepare(device.args, p->segments, {}, *ctx, stream, work,
                             {cuda_selector_of(stride_rule(3)), k_selected, false})
                    .ok());
    uint64_t first = 0;
    ASSERT_TRUE(cuda_attention_forward(device.args, *work, *ctx, stream, &first).ok());  // loads the kernels
    check_cuda(cudaStreamSynchronize(stream), "the first call");
    static_cast<void>(ctx->take_kept(stream));
    check_cuda(cudaStreamSynchronize(stream), "its count");
    EXPECT_EQ(1u, ctx->take_kept(stream).size());

    std::atomic<bool> released{false};
    const auto hold = [](void * flag) {
        while (!static_cast<std::atomic<bool> *>(flag)->load()) {
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
    };
    check_cuda(cudaLaunchHostFunc(stream, hold, &released), "holding the stream");
    auto call = std::async(std::launch::async, [&] {
        uint64_t number = 0;
        const bool done = cuda_attention_forward(device.args, *work, *ctx, stream, &number).ok();
        return done && number != 0 && ctx->take_kept(stream).empty();
    });
    const bool returned = call.wait_for(std::chrono::seconds(20)) == std::future_status::ready;
    EXPECT_TRUE(returned) << "the call waits for the device";
    EXPECT_EQ(cudaErrorNotReady, cudaStreamQuery(stream));
    released = true;
    EXPECT_TRUE(call.get());
    check_cuda(cudaStreamSynchronize(stream), "the held call");
    check_cuda(cudaStreamDestroy(stream), "the stream");
}

TEST_P(cuda_selection_test, memory_counts_towards_the_limit) {
    const test_case c = one_chunk(4000, 200, k_no_band);
    const std::unique_ptr<problem> p = selection_problem(c);
    const call_output output = make_output(c, *p);
    device_problem device(*p, output);
    std::shared_ptr<cuda_work> work;
    ctx->limit_scratch({.most_bytes = 1024, .share = 1});
    EXPECT_EQ(status_code::out_of_memory, cuda_prepare(device.args, p->segments, {}, *ctx, nullptr, work,
                                                       {cuda_selector_of(stride_rule(3)), k_selected, false})
                                              .code());
    EXPECT_EQ(nullptr, work);
}

TEST_P(cuda_selection_test, refuses_a_list_and_a_selection_of_one_segment) {
    const test_case c = one_chunk(100, 50, k_no_band);
    const std::unique_ptr<problem> p = selection_problem(c);
    const call_output output = make_output(c, *p);
    device_problem device(*p, output);
    block_bitmap bits({c.n_head_kv, {100, 150}});
    add_mandatory(bits);
    const listed_bits listed(bits, false);
    std::shared_ptr<cuda_work> work;
    const cuda_selection selection{cuda_selector_of(stride_rule(3)), k_selected, false};
    EXPECT_EQ(status_code::invalid_argument,
              cuda_prepare(device.args, p->segments, {&listed.lists(), 1}, *ctx, nullptr, work, selection).code());
    EXPECT_EQ(status_code::invalid_argument,
              cuda_prepare(device.args, p->segments, {}, *ctx, nullptr, work, {selection.selector, {}, false}).code());
}

// Selects as the stride method does, and remembers what it was asked with.
class remembering_selector final : public cuda_selector {
  public:
    int64_t workspace_bytes(const attention_args & args, std::span<const cuda_selected_rows>) const noexcept override {
        sized_ = args;
        return 256;
    }
    status select(const cuda_selection_call & call) const noexcept override {
        called_ = call.args;
        return stride_->select(call);
    }
    const attention_args & sized() const { return sized_; }
    const attention_args & called() const { return called_; }

  private:
    std::shared_ptr<const cuda_selector> stride_ = cuda_selector_of(stride_rule(3));
    mutable attention_args sized_;
    mutable attention_args called_;
};

TEST_P(cuda_selection_test, a_selector_is_asked_for_memory_with_the_sizes_of_its_call) {
    for (const dtype type : {dtype::f16, dtype::q8_0}) {  // read in place, copied
        test_case c = one_chunk(300, 200, k_no_band);
        c.k_type = c.v_type = type;
        const std::unique_ptr<problem> p = selection_problem(c);
        const call_output output = make_output(c, *p);
        device_problem device(*p, output);
        const auto selector = std::make_shared<remembering_selector>();
        std::shared_ptr<cuda_work> work;
        ASSERT_TRUE(
            cuda_prepare(device.args, p->segments, {}, *ctx, nullptr, work, {selector, k_selected, false}).ok());
        ASSERT_TRUE(cuda_attention_forward(device.args, *work, *ctx, nullptr).ok());
        check_cuda(cudaDeviceSynchronize(), "attention");
        const attention_args & sized = selector->sized();
        const attention_args & called = selector->called();
        EXPECT_EQ(nullptr, sized.q);
        EXPECT_EQ(nullptr, sized.k);
        EXPECT_EQ(nullptr, sized.v);
        EXPECT_EQ(nullptr, sized.out);
        EXPECT_NE(nullptr, called.k);
        EXPECT_EQ(sized.n_kv, called.n_kv);
        EXPECT_EQ(sized.k_type, called.k_type);
        EXPECT_EQ(sized.v_type, called.v_type);
        EXPECT_EQ(sized.k_stride_batch, called.k_stride_batch);
        EXPECT_EQ(sized.k_stride_head, called.k_stride_head);
        EXPECT_EQ(sized.k_stride_row, called.k_stride_row);
        EXPECT_EQ(sized.v_stride_row, called.v_stride_row);
    }
}

INSTANTIATE_TEST_SUITE_P(kernels, cuda_selection_test, testing::Values("sm90a", "sm80"),
                         [](const auto & instance) { return std::string(instance.param); });

}  // namespace
}  // namespace tmx::test
