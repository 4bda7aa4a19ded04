// Heads that select by rules of their own on a GPU, and the device's count of what selection keeps.
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <vector>

#include "compare.h"
#include "device_problem.h"
#include "head_selection.h"
#include "kernels/cuda/context.h"
#include "oracle.h"
#include "plain.h"

namespace tmx::test {
namespace {

constexpr uint8_t k_selected[] = {1};

class cuda_head_selection_test : public cuda_kernel_test {};

// The CPU's sums of a request's pairs, from what the device counted of each head.
std::vector<int64_t> sums_of_counts(const selection_request & request, const cuda_kept_pairs & counted) {
    std::vector<int64_t> sums(request.n_sums());
    const size_t n_head = counted.pairs.size() / request.selected.size();
    for (size_t i = 0; i < counted.pairs.size(); ++i) {
        sums[request.sum_of(i % n_head, request.selected[i / n_head])] += counted.pairs[i];
    }
    return sums;
}

TEST_P(cuda_head_selection_test, heads_keep_what_the_cpu_keeps_by_their_rules) {
    for (const heads_case & each : heads_cases()) {
        const test_case & c = each.c;
        const heads_problem by_mask(each);
        const auto & [p, masks, plain, masked] = by_mask;
        const heads_request made(each);
        const std::vector<oracle_row> oracle = oracle_attention(plain.args, masked, 7);
        plain_attention(plain.args, masked, operands_of(c), 7);
        call_output output = make_output(c, *p);
        device_problem device(*p, output);
        std::shared_ptr<cuda_work> work;
        const cuda_selection selection{cuda_selector_of(made.request()), made.request().selected,
                                       made.request().per_query_head};
        ASSERT_NE(nullptr, selection.selector);
        const status prepared = cuda_prepare(device.args, p->segments, {}, *ctx, nullptr, work, selection);
        ASSERT_TRUE(prepared.ok()) << each.name << ": " << prepared.message();
        uint64_t call = 0;
        const status done = cuda_attention_forward(device.args, *work, *ctx, nullptr, &call);
        ASSERT_TRUE(done.ok()) << each.name << ": " << done.message();
        ASSERT_NE(0u, call);
        std::vector<cuda_kept_pairs> counted = ctx->take_kept(nullptr);
        check_cuda(cudaDeviceSynchronize(), "attention");
        for (const cuda_kept_pairs & late : ctx->take_kept(nullptr)) {
            counted.push_back(late);
        }
        ASSERT_EQ(1u, counted.size()) << each.name;
        EXPECT_EQ(call, counted[0].call);
        EXPECT_EQ(sums_of_masks(each, made.request(), masks), sums_of_counts(made.request(), counted[0])) << each.name;
        ASSERT_TRUE(device.fetch(output)) << "memory beside an output was written";
        EXPECT_EQ("", compare(oracle, plain.args, output.args, operands_of(c)).failure) << each.name;
    }
}

// Each call is counted by itself and told once, also where many more are made than one batch of counters holds.
TEST_P(cuda_head_selection_test, pairs_are_counted_on_the_device) {
    test_case c = one_chunk(800, 300, k_no_band);
    c.n_head = 4;
    c.n_head_kv = 2;
    const std::unique_ptr<problem> p = selection_problem(c);
    const call_output output = make_output(c, *p);
    device_problem device(*p, output);
    std::map<uint64_t, std::vector<int64_t>> expected;
    std::map<uint64_t, std::vector<int64_t>> found;
    const auto take = [&](void * stream) {
        for (const cuda_kept_pairs & each : ctx->take_kept(stream)) {
            EXPECT_TRUE(found.emplace(each.call, each.pairs).second) << "told twice";
        }
    };
    cudaStream_t stream = nullptr;
    check_cuda(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "a stream");
    for (const int64_t stride : {1, 3, 5}) {
        for (const bool per_query_head : {false, true}) {
            const selection_request request{stride_rule(stride), k_selected, per_query_head};
            std::shared_ptr<cuda_work> work;
            ASSERT_TRUE(cuda_prepare(device.args, p->segments, {}, *ctx, stream, work,
                                     {cuda_selector_of(request), k_selected, per_query_head})
                            .ok());
            const int64_t sum = *pairs_known_ahead(request, device.args, p->segments);
            for (int i = 0; i < 1000; ++i) {
                uint64_t call = 0;
                ASSERT_TRUE(cuda_attention_forward(device.args, *work, *ctx, stream, &call).ok());
                ASSERT_NE(0u, call);
                expected[call] = std::vector<int64_t>(4, sum / 4);
                if (i % 300 == 0) {
                    take(stream);
                }
            }
        }
    }
    take(stream);
    check_cuda(cudaStreamSynchronize(stream), "attention");
    take(stream);
    EXPECT_EQ(expected, found);
    uint64_t call = 7;
    std::shared_ptr<cuda_work> banded;
    ASSERT_TRUE(cuda_prepare(device.args, p->segments, {}, *ctx, stream, banded).ok());
    ASSERT_TRUE(cuda_attention_forward(device.args, *banded, *ctx, stream, &call).ok());
    EXPECT_EQ(0u, call) << "nothing is selected";
    check_cuda(cudaStreamDestroy(stream), "the stream");
}

INSTANTIATE_TEST_SUITE_P(kernels, cuda_head_selection_test, testing::Values("sm90a", "sm80"),
                         [](const auto & instance) { return std::string(instance.param); });

}  // namespace
}  // namespace tmx::test
