// What the case list does not reach: block lists, repeatability, work used again, refused calls.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "cases.h"
#include "compare.h"
#include "device_problem.h"
#include "oracle.h"
#include "plain.h"
#include "random_lists.h"

namespace tmx::test {
namespace {

class cuda_calls : public cuda_kernel_test {};

// Lists on the device against the oracle, which reads the same rule from a mask.
std::string compare_lists(const test_case & c, const list_style & style, cuda_context & ctx) {
    const std::unique_ptr<problem> p = make_problem(c);
    const random_lists random(c, style);
    const std::vector<uint16_t> mask = random.mask(p->segments[0].cells);
    call_output plain = make_output(c, *p);
    call_output output = make_output(c, *p);
    plain.args.mask = mask.data();
    plain.args.mask_stride_row = c.n_kv;
    plain.args.mask_stride_head = c.n_q * c.n_kv;
    std::vector<attention_segment> masked = p->segments;
    masked[0].masked = true;
    const std::vector<oracle_row> oracle = oracle_attention(plain.args, masked, 7);
    plain_attention(plain.args, masked, operands_of(c), 7);

    device_problem device(*p, output);
    std::shared_ptr<cuda_work> work;
    if (const status s = cuda_prepare(device.args, p->segments, {&random.lists(), 1}, ctx, nullptr, work); !s.ok()) {
        return s.message();
    }
    if (const status s = cuda_attention_forward(device.args, *work, ctx, nullptr); !s.ok()) {
        return s.message();
    }
    if (!device.fetch(output)) {
        return "memory beside an output was written";
    }
    return compare(oracle, plain.args, output.args, operands_of(c)).failure;
}

TEST_P(cuda_calls, block_lists_match_the_same_mask) {
    for (const list_case & each : list_cases()) {
        EXPECT_EQ("", compare_lists(each.c, each.style, *ctx)) << each.name;
    }
}

TEST_P(cuda_calls, same_bits_on_every_run_and_with_split_keys) {
    for (const int64_t dim : {128, 256}) {
        test_case c = one_chunk(6000, 40, {});
        c.d_qk = c.d_v = dim;
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
        call_output plain = make_output(c, *p);
        plain_attention(plain.args, p->segments, rounding::f16, 13);
        const std::vector<oracle_row> oracle = oracle_attention(p->args, p->segments, 13);
        EXPECT_EQ("", compare(oracle, plain.args, output.args, rounding::f16).failure) << "d = " << dim;
    }
}

// A sink joins a row once, however many parts its keys are split into.
TEST_P(cuda_calls, sinks_and_softcap_with_split_keys) {
    for (const int64_t dim : {64, 128, 256}) {
        for (const float softcap : {0.0f, 20.0f}) {
            test_case c = one_chunk(6000, 40, {});
            c.d_qk = c.d_v = dim;
            c.sink_logits = true;
            c.softcap = softcap;
            c.query_gain = 3;
            const std::unique_ptr<problem> p = make_problem(c);
            for (int64_t head = 0; head < c.n_head; ++head) {
                p->sink_logit.as<float>()[head] = 7.0f + static_cast<float>(head);  // as much as all keys
            }
            call_output output = make_output(c, *p);
            device_problem device(*p, output);
            std::shared_ptr<cuda_work> work;
            ASSERT_TRUE(cuda_prepare(device.args, p->segments, {}, *ctx, nullptr, work).ok());
            EXPECT_GT(facts_of(*work).n_partials, 0);
            ASSERT_TRUE(cuda_attention_forward(device.args, *work, *ctx, nullptr).ok());
            EXPECT_TRUE(device.fetch(output));
            call_output plain = make_output(c, *p);
            plain_attention(plain.args, p->segments, rounding::f16, 13);
            const std::vector<oracle_row> oracle = oracle_attention(p->args, p->segments, 13);
            EXPECT_EQ("", compare(oracle, plain.args, output.args, rounding::f16).failure)
                << "d = " << dim << ", softcap " << softcap;
        }
    }
}

// Many calls one behind the other on a stream, each of which may begin before the last has ended: they share scratch,
// and every one reads what the one before wrote, as its queries.
TEST_P(cuda_calls, calls_on_a_stream_run_in_order) {
    const test_case c = one_chunk(3000, 200, {});
    const std::unique_ptr<problem> p = make_problem(c);
    call_output output = make_output(c, *p);
    std::vector<std::string> bits;
    for (const bool wait : {true, false}) {
        device_problem device(*p, output);
        std::shared_ptr<cuda_work> work;
        ASSERT_TRUE(cuda_prepare(device.args, p->segments, {}, *ctx, nullptr, work).ok());
        ASSERT_GT(facts_of(*work).n_partials, 0);
        device_copy second(p->q.data(), p->q.size());
        auto * from = static_cast<float *>(second.data());
        float * to = device.args.out;
        for (int i = 0; i < 21; ++i) {
            device.args.q = from;
            device.args.out = to;
            ASSERT_TRUE(cuda_attention_forward(device.args, *work, *ctx, nullptr).ok());
            std::swap(from, to);
            if (wait) {
                check_cuda(cudaDeviceSynchronize(), "attention");
            }
        }
        EXPECT_TRUE(device.fetch(output));
        bits.emplace_back(output.out.as<char>(), output.out.size());
    }
    EXPECT_EQ(bits[0], bits[1]);
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

// Scratch and lists of a context that is gone are not taken from under its kernels.
TEST_P(cuda_calls, a_context_may_be_dropped_while_its_kernels_run) {
    test_case c = one_chunk(6000, 40, {});
    c.k_type = c.v_type = dtype::q8_0;
    const std::unique_ptr<problem> p = make_problem(c);
    call_output output = make_output(c, *p);
    device_problem device(*p, output);
    std::shared_ptr<cuda_work> work;
    ASSERT_TRUE(cuda_prepare(device.args, p->segments, {}, *ctx, nullptr, work).ok());
    for (int i = 0; i < 50; ++i) {
        ASSERT_TRUE(cuda_attention_forward(device.args, *work, *ctx, nullptr).ok());
    }
    ctx.reset();
    work.reset();
    EXPECT_TRUE(device.fetch(output));
    EXPECT_EQ("", check_written(c, *p, output));
}

TEST_P(cuda_calls, scratch_is_bounded_and_given_back) {
    test_case c = one_chunk(6000, 40, {});
    c.k_type = c.v_type = dtype::q8_0;
    const std::unique_ptr<problem> p = make_problem(c);
    call_output output = make_output(c, *p);
    device_problem device(*p, output);
    std::shared_ptr<cuda_work> work;
    EXPECT_EQ(0, ctx->scratch_bytes());
    for (const cuda_scratch_limit & limit :
         {cuda_scratch_limit{.most_bytes = 0, .share = 1}, {.most_bytes = 1 << 20, .share = 1}, {.share = 1 << 30}}) {
        ctx->limit_scratch(limit);
        const status refused = cuda_prepare(device.args, p->segments, {}, *ctx, nullptr, work);
        EXPECT_EQ(status_code::out_of_memory, refused.code());
        EXPECT_STREQ("scratch memory is at its limit", refused.message());
        EXPECT_LE(ctx->scratch_bytes(), 1 << 20);
    }
    ctx->limit_scratch({.most_bytes = int64_t{1} << 30, .share = 1});
    ASSERT_TRUE(cuda_prepare(device.args, p->segments, {}, *ctx, nullptr, work).ok());
    EXPECT_GE(ctx->scratch_bytes(), facts_of(*work).scratch_bytes);
    EXPECT_GT(facts_of(*work).scratch_bytes, 1 << 20);
    ASSERT_TRUE(cuda_attention_forward(device.args, *work, *ctx, nullptr).ok());
    EXPECT_TRUE(device.fetch(output));
    const std::string bits(output.out.as<char>(), output.out.size());

    // A work that outlives the scratch it was prepared with takes it anew.
    size_t free_before = 0;
    size_t free_after = 0;
    size_t total = 0;
    check_cuda(cudaMemGetInfo(&free_before, &total), "memory");
    EXPECT_TRUE(ctx->release_scratch(nullptr));
    check_cuda(cudaMemGetInfo(&free_after, &total), "memory");
    EXPECT_GT(free_after, free_before);
    EXPECT_LE(ctx->scratch_bytes(), facts_of(*work).upload_bytes * 2 + (1 << 16)) << "its lists";
    check_cuda(cudaMemset(device.out.data(), 0, output.out.size()), "memset");
    ASSERT_TRUE(cuda_attention_forward(device.args, *work, *ctx, nullptr).ok());
    EXPECT_TRUE(device.fetch(output));
    EXPECT_EQ(bits, std::string(output.out.as<char>(), output.out.size()));
    work.reset();
    EXPECT_TRUE(ctx->release_scratch(nullptr));
    EXPECT_EQ(0, ctx->scratch_bytes());

    // Where it cannot be had again, the call says so and writes nothing.
    ASSERT_TRUE(cuda_prepare(device.args, p->segments, {}, *ctx, nullptr, work).ok());
    check_cuda(cudaDeviceSynchronize(), "upload");
    EXPECT_TRUE(ctx->release_scratch(nullptr));
    ctx->limit_scratch({.most_bytes = 1 << 20, .share = 1});
    EXPECT_EQ(status_code::out_of_memory, cuda_attention_forward(device.args, *work, *ctx, nullptr).code());
}

// Works of many sizes, one behind the other, within a limit that leaves no room for old and new scratch together.
TEST_P(cuda_calls, scratch_grows_within_its_limit) {
    const auto q8_chunk = [](int64_t n_keys) {
        test_case c = one_chunk(n_keys, 70, {});
        c.k_type = c.v_type = dtype::q8_0;
        return c;
    };
    int64_t most = 0;
    for (const bool limited : {false, true}) {
        for (const int64_t n_keys : {1000, 3000, 5000, 2000, 6000}) {
            const test_case c = q8_chunk(n_keys);
            const std::unique_ptr<problem> p = make_problem(c);
            call_output output = make_output(c, *p);
            device_problem device(*p, output);
            std::shared_ptr<cuda_work> work;
            const status prepared = cuda_prepare(device.args, p->segments, {}, *ctx, nullptr, work);
            ASSERT_TRUE(prepared.ok()) << prepared.message();
            most = limited ? most : std::max(most, facts_of(*work).scratch_bytes + (1 << 20));
            EXPECT_TRUE(!limited || ctx->scratch_bytes() <= most);
            ASSERT_TRUE(cuda_attention_forward(device.args, *work, *ctx, nullptr).ok());
            EXPECT_TRUE(device.fetch(output));
            EXPECT_EQ("", check_written(c, *p, output));
            call_output plain = make_output(c, *p);
            plain_attention(plain.args, p->segments, rounding::f16, 13);
            const std::vector<oracle_row> oracle = oracle_attention(p->args, p->segments, 13);
            EXPECT_EQ("", compare(oracle, plain.args, output.args, rounding::f16).failure) << n_keys << " keys";
        }
        EXPECT_TRUE(ctx->release_scratch(nullptr));
        EXPECT_EQ(0, ctx->scratch_bytes());
        ctx->limit_scratch({.most_bytes = most, .share = 1});
    }
}

TEST_P(cuda_calls, strides_of_zero_and_below) {
    const test_case c = one_chunk(400, 60, {});
    const std::unique_ptr<problem> p = make_problem(c);
    const auto check = [&](const char * what, auto change) {
        call_output plain = make_output(c, *p);
        call_output output = make_output(c, *p);
        device_problem device(*p, output);
        change(plain.args);
        change(device.args);
        const std::vector<oracle_row> oracle = oracle_attention(plain.args, p->segments, 7);
        plain_attention(plain.args, p->segments, rounding::f16, 7);
        std::shared_ptr<cuda_work> work;
        ASSERT_TRUE(cuda_prepare(device.args, p->segments, {}, *ctx, nullptr, work).ok()) << what;
        const status launched = cuda_attention_forward(device.args, *work, *ctx, nullptr);
        ASSERT_TRUE(launched.ok()) << what << ": " << launched.message();
        EXPECT_TRUE(device.fetch(output)) << what;
        EXPECT_EQ("", compare(oracle, plain.args, output.args, rounding::f16).failure) << what;
    };
    check("one head for all", [](attention_args & a) { a.k_stride_head = 0; });
    check("the last key first", [](attention_args & a) {
        a.k = static_cast<const uint16_t *>(a.k) + (a.n_kv - 1) * a.k_stride_row;
        a.k_stride_row = -a.k_stride_row;
    });
}

TEST_P(cuda_calls, two_contexts_on_two_threads) {
    const test_case cases[] = {one_chunk(3000, 70, {}), one_chunk(200, 300, {8, 64})};
    std::vector<std::unique_ptr<problem>> problems;
    std::vector<call_output> outputs;
    std::vector<std::string> failures(2);
    for (const test_case & c : cases) {
        problems.push_back(make_problem(c));
        outputs.push_back(make_output(c, *problems.back()));
    }
    const auto drive = [&](size_t i) {
        device_problem device(*problems[i], outputs[i]);
        cudaStream_t stream = nullptr;
        check_cuda(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "stream");
        std::unique_ptr<cuda_context> own;
        status s = cuda_context::create(0, own);
        if (s.ok()) {
            s = own->force_kernel(GetParam());
        }
        for (int run = 0; run < 50 && s.ok(); ++run) {
            std::shared_ptr<cuda_work> work;
            s = cuda_prepare(device.args, problems[i]->segments, {}, *own, stream, work);
            if (s.ok()) {
                s = cuda_attention_forward(device.args, *work, *own, stream);
            }
        }
        failures[i] = s.ok() ? "" : s.message();
        if (!device.fetch(outputs[i])) {
            failures[i] += "memory beside an output was written";
        }
        own.reset();
        check_cuda(cudaStreamDestroy(stream), "stream");
    };
    std::thread other(drive, 1);
    drive(0);
    other.join();
    for (size_t i = 0; i < 2; ++i) {
        EXPECT_EQ("", failures[i]);
        call_output plain = make_output(cases[i], *problems[i]);
        plain_attention(plain.args, problems[i]->segments, rounding::f16, 11);
        const std::vector<oracle_row> oracle = oracle_attention(problems[i]->args, problems[i]->segments, 11);
        EXPECT_EQ("", compare(oracle, plain.args, outputs[i].args, rounding::f16).failure) << "thread " << i;
    }
}

TEST_P(cuda_calls, forward_refuses_what_the_work_is_not_for) {
    const test_case c = one_chunk(50, 30, {4, 16});
    const std::unique_ptr<problem> p = make_problem(c);
    call_output output = make_output(c, *p);
    device_problem device(*p, output);
    std::shared_ptr<cuda_work> work;
    ASSERT_TRUE(cuda_prepare(device.args, p->segments, {}, *ctx, nullptr, work).ok());
    std::unique_ptr<cuda_context> foreign;
    ASSERT_TRUE(cuda_context::create(0, foreign).ok());
    EXPECT_EQ(status_code::invalid_argument, cuda_attention_forward(device.args, *work, *foreign, nullptr).code());
    const auto code_of = [&](auto change) {
        attention_args args = device.args;
        change(args);
        return cuda_attention_forward(args, *work, *ctx, nullptr).code();
    };
    const float per_head[8] = {};
    EXPECT_EQ(status_code::unsupported, code_of([&](attention_args & a) { a.alibi_slope = per_head; }));
    EXPECT_EQ(status_code::invalid_argument, code_of([](attention_args & a) { a.logit_softcap = 30; }));
    EXPECT_EQ(status_code::invalid_argument, code_of([](attention_args & a) { a.skip_factor = 30; }));
    EXPECT_EQ(status_code::invalid_argument,
              code_of([](attention_args & a) { a.scale = std::numeric_limits<float>::infinity(); }));
    // The context that made the work is gone, and a new one may have its address.
    ctx.reset();
    ASSERT_TRUE(cuda_context::create(0, ctx).ok());
    EXPECT_EQ(status_code::invalid_argument, cuda_attention_forward(device.args, *work, *ctx, nullptr).code());
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
    block_lists odd;
    const int64_t begin[] = {0, 0};
    odd.begin = begin;
    odd.block_keys = 48;
    EXPECT_EQ(status_code::invalid_argument,
              cuda_prepare(device.args, p->segments, {&odd, 1}, *ctx, nullptr, work).code());
    const int64_t descending[] = {0, -1, 0};
    odd.begin = descending;
    odd.block_keys = 64;
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
