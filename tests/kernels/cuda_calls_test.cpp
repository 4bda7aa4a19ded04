// What the case list does not reach: block lists, repeatability, work used again, refused calls.
#include <gtest/gtest.h>

#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "cases.h"
#include "compare.h"
#include "cuda_device.h"
#include "number_formats.h"
#include "oracle.h"
#include "plain.h"
#include "problem.h"

namespace tmx::test {
namespace {

class cuda_calls : public testing::TestWithParam<const char *> {
  protected:
    void SetUp() override {
        if (const std::string missing = no_device(); !missing.empty()) {
            GTEST_SKIP() << missing;
        }
        ASSERT_TRUE(cuda_context::create(0, ctx).ok());
        if (!ctx->force_kernel(GetParam()).ok()) {
            GTEST_SKIP() << "this GPU cannot run " << GetParam();
        }
    }
    std::unique_ptr<cuda_context> ctx;
};

test_case one_chunk(int64_t rank_begin, int64_t n_rows, const band & kept) {
    test_case c;
    c.name = "one_chunk";
    c.n_head = 8;
    c.n_head_kv = 2;
    c.d_qk = c.d_v = 128;
    c.n_q = n_rows;
    c.n_kv = rank_begin + n_rows;
    case_segment segment;
    segment.rows.row_end = n_rows;
    segment.rows.rank_begin = rank_begin;
    segment.rows.kept = kept;
    c.segments = {segment};
    return c;
}

// A problem's buffers on the device.
struct device_problem {
    explicit device_problem(const problem & p, const call_output & output)
        : q(p.q.data(), p.q.size()),
          k(p.k.data(), p.k.size()),
          v(p.v.data(), p.v.size()),
          out(output.out.data(), output.out.size()),
          lse(output.lse.data(), output.lse.size()),
          args(output.args) {
        args.q = static_cast<const float *>(q.data());
        args.k = k.data();
        args.v = v.data();
        args.out = static_cast<float *>(out.data());
        args.lse = static_cast<float *>(lse.data());
    }
    bool fetch(call_output & output) {
        check_cuda(cudaDeviceSynchronize(), "attention");
        return out.fetch(output.out.data()) && lse.fetch(output.lse.data());
    }
    device_copy q, k, v, out, lse;
    attention_args args;
};

// Lists of random blocks, the first and the row's own always among them.
struct random_lists {
    random_lists(const test_case & c, int64_t block, bool per_query_head) {
        lists.block_keys = block;
        lists.list_rows = 48;
        lists.per_query_head = per_query_head;
        std::mt19937 random(7);
        n_lists = (c.n_q + lists.list_rows - 1) / lists.list_rows;
        begin.push_back(0);
        for (int64_t list = 0; list < n_lists * (per_query_head ? c.n_head : c.n_head_kv); ++list) {
            for (int64_t rank = 0; rank < c.n_kv; rank += block) {
                const int64_t first_row = c.n_kv - c.n_q + list % n_lists * lists.list_rows;
                const bool near = rank + block > first_row;
                if (rank == 0 || near || random() % 3 == 0) {
                    first_rank.push_back(static_cast<int32_t>(rank));
                }
            }
            begin.push_back(static_cast<int64_t>(first_rank.size()));
        }
        lists.begin = begin.data();
        lists.first_rank = first_rank.data();
    }
    bool keeps(const test_case & c, int64_t head, int64_t row, int64_t key) const {
        const int64_t scope = lists.per_query_head ? head : head / (c.n_head / c.n_head_kv);
        const int64_t list = scope * n_lists + row / lists.list_rows;
        for (int64_t i = begin[static_cast<size_t>(list)]; i < begin[static_cast<size_t>(list) + 1]; ++i) {
            const int32_t rank = first_rank[static_cast<size_t>(i)];
            if (key >= rank && key < rank + lists.block_keys) {
                return key <= c.n_kv - c.n_q + row;
            }
        }
        return false;
    }
    cuda_block_lists lists;
    std::vector<int64_t> begin;
    std::vector<int32_t> first_rank;
    int64_t n_lists = 0;
};

TEST_P(cuda_calls, block_lists_match_the_same_mask) {
    for (const bool per_query_head : {false, true}) {
        for (const int64_t block : {16, 64, 128}) {
            const test_case c = one_chunk(900, 130, {});
            const std::unique_ptr<problem> p = make_problem(c);
            const random_lists random(c, block, per_query_head);
            call_output plain = make_output(c, *p);
            call_output output = make_output(c, *p);

            // The oracle reads the same rule from a mask.
            std::vector<uint16_t> mask(static_cast<size_t>(c.n_head * c.n_q * c.n_kv));
            for (int64_t head = 0; head < c.n_head; ++head) {
                for (int64_t row = 0; row < c.n_q; ++row) {
                    for (int64_t key = 0; key < c.n_kv; ++key) {
                        mask[static_cast<size_t>((head * c.n_q + row) * c.n_kv + key)] =
                            random.keeps(c, head, row, key) ? 0 : f32_to_f16(-std::numeric_limits<float>::infinity());
                    }
                }
            }
            plain.args.mask = mask.data();
            plain.args.mask_stride_row = c.n_kv;
            plain.args.mask_stride_head = c.n_q * c.n_kv;
            std::vector<attention_segment> masked = p->segments;
            masked[0].masked = true;
            const std::vector<oracle_row> oracle = oracle_attention(plain.args, masked, 7);
            plain_attention(plain.args, masked, rounding::f16, 7);

            device_problem device(*p, output);
            std::shared_ptr<cuda_work> work;
            const status prepared = cuda_prepare(device.args, p->segments, {&random.lists, 1}, *ctx, nullptr, work);
            ASSERT_TRUE(prepared.ok()) << prepared.message();
            const status launched = cuda_attention_forward(device.args, *work, *ctx, nullptr);
            ASSERT_TRUE(launched.ok()) << launched.message();
            EXPECT_TRUE(device.fetch(output));
            EXPECT_EQ("", compare(oracle, plain.args, output.args, rounding::f16).failure)
                << "blocks of " << block << (per_query_head ? ", per query head" : "");
        }
    }
}

TEST_P(cuda_calls, same_bits_on_every_run_and_with_split_keys) {
    const test_case c = one_chunk(6000, 40, {});
    const std::unique_ptr<problem> p = make_problem(c);
    std::vector<std::string> bits;
    call_output output = make_output(c, *p);
    device_problem device(*p, output);
    std::shared_ptr<cuda_work> work;
    ASSERT_TRUE(cuda_prepare(device.args, p->segments, {}, *ctx, nullptr, work).ok());
    EXPECT_GT(facts_of(*work).n_partials, 0) << "a long walk on an idle device is split";
    for (int run = 0; run < 5; ++run) {
        ASSERT_TRUE(cuda_attention_forward(device.args, *work, *ctx, nullptr).ok());
        EXPECT_TRUE(device.fetch(output));
        bits.emplace_back(output.out.as<char>(), output.out.size());
        EXPECT_EQ(bits.front(), bits.back()) << "run " << run;
    }
    EXPECT_EQ("", check_written(c, *p, output));
}

// Works are made and dropped while their kernels still run, as a backend does ubatch after ubatch.
TEST_P(cuda_calls, works_may_be_dropped_at_once) {
    const test_case c = one_chunk(500, 300, {8, 64});
    const std::unique_ptr<problem> p = make_problem(c);
    call_output output = make_output(c, *p);
    device_problem device(*p, output);
    const std::vector<oracle_row> oracle = oracle_attention(p->args, p->segments, 11);
    call_output plain = make_output(c, *p);
    plain_attention(plain.args, p->segments, rounding::f16, 11);
    cudaStream_t stream = nullptr;
    check_cuda(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "stream");
    for (int i = 0; i < 200; ++i) {
        std::shared_ptr<cuda_work> work;
        ASSERT_TRUE(cuda_prepare(device.args, p->segments, {}, *ctx, stream, work).ok());
        ASSERT_TRUE(cuda_attention_forward(device.args, *work, *ctx, stream).ok());
    }
    check_cuda(cudaStreamSynchronize(stream), "stream");
    EXPECT_TRUE(device.fetch(output));
    EXPECT_EQ("", compare(oracle, plain.args, output.args, rounding::f16).failure);
    ctx.reset();
    check_cuda(cudaStreamDestroy(stream), "stream");
}

TEST_P(cuda_calls, refuses_what_it_should_and_works_on) {
    const test_case c = one_chunk(50, 30, {4, 16});
    const std::unique_ptr<problem> p = make_problem(c);
    call_output output = make_output(c, *p);
    device_problem device(*p, output);
    std::shared_ptr<cuda_work> work;
    attention_args wrong = device.args;
    wrong.scale = std::numeric_limits<float>::quiet_NaN();
    EXPECT_EQ(status_code::invalid_argument, cuda_prepare(wrong, p->segments, {}, *ctx, nullptr, work).code());
    wrong = device.args;
    wrong.k_type = dtype::f32;
    EXPECT_EQ(status_code::unsupported, cuda_prepare(wrong, p->segments, {}, *ctx, nullptr, work).code());
    std::vector<attention_segment> outside = p->segments;
    outside[0].key_begin = 1;
    EXPECT_EQ(status_code::invalid_argument, cuda_prepare(device.args, outside, {}, *ctx, nullptr, work).code());
    cuda_block_lists odd;
    const int64_t begin[] = {0, 0};
    odd.begin = begin;
    odd.block_keys = 48;
    EXPECT_EQ(status_code::invalid_argument,
              cuda_prepare(device.args, p->segments, {&odd, 1}, *ctx, nullptr, work).code());
    EXPECT_EQ(nullptr, work);
    ASSERT_TRUE(cuda_prepare(device.args, p->segments, {}, *ctx, nullptr, work).ok());
    EXPECT_STREQ(GetParam(), facts_of(*work).kernel);
    wrong = device.args;
    wrong.n_kv = 79;
    EXPECT_EQ(status_code::invalid_argument, cuda_attention_forward(wrong, *work, *ctx, nullptr).code());
    wrong = device.args;
    wrong.out = nullptr;
    EXPECT_EQ(status_code::invalid_argument, cuda_attention_forward(wrong, *work, *ctx, nullptr).code());
    EXPECT_EQ(status_code::invalid_argument, ctx->force_kernel("no_such_kernel").code());
    EXPECT_TRUE(cuda_attention_forward(device.args, *work, *ctx, nullptr).ok());
    EXPECT_TRUE(device.fetch(output));
    EXPECT_EQ("", check_written(c, *p, output));
}

INSTANTIATE_TEST_SUITE_P(kernels, cuda_calls, testing::Values("sm90a", "sm80"),
                         [](const auto & instance) { return std::string(instance.param); });

}  // namespace
}  // namespace tmx::test
