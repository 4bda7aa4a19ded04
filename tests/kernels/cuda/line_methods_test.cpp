// Methods that keep lines on a GPU: their bits against the oracles that the CPU is tested with, and attention over them
// against the same mask.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <vector>

#include "compare.h"
#include "device_problem.h"
#include "flexprefill_oracle.h"
#include "kernels/cuda/context.h"
#include "number_formats.h"
#include "oracle.h"
#include "plain.h"
#include "vertical_slash_oracle.h"

namespace tmx::test {
namespace {

constexpr uint8_t k_selected[] = {1};

class cuda_line_methods_test : public cuda_kernel_test {};

// The device rounds queries to the type of K. Rounded before, they are the same numbers to the oracle. What is staged
// from quantised keys is not, so those are left out.
std::unique_ptr<problem> rounded_problem(test_case & c) {
    if (c.k_type == dtype::q8_0) {
        c.k_type = c.v_type = dtype::f16;
    }
    std::unique_ptr<problem> p = make_problem(c);
    auto * q = reinterpret_cast<float *>(p->q.data());
    for (size_t i = 0; i < p->q.size() / sizeof(float); ++i) {
        q[i] = c.k_type == dtype::bf16 ? bf16_to_f32(f32_to_bf16(q[i])) : f16_to_f32(f32_to_f16(q[i]));
    }
    p->segments[0].kept = k_no_band;
    return p;
}

// A case on the device, computed once.
struct computed_case {
    std::unique_ptr<problem> p;
    call_output output;
    block_bitmap bits;
};

computed_case compute(line_method_case & each, cuda_context & ctx) {
    std::unique_ptr<problem> p = rounded_problem(each.c);
    call_output output = make_output(each.c, *p);
    const attention_segment & s = p->segments[0];
    block_bitmap bits(
        {each.c.n_head, {s.rank_begin, s.rank_begin + s.row_end - s.row_begin}, block_keys_of(each.rule)});
    device_problem device(*p, output);
    std::shared_ptr<cuda_work> work;
    const cuda_selection selection{cuda_selector_of(each.rule), k_selected, true};
    const status made = cuda_prepare(device.args, p->segments, {}, ctx, nullptr, work, selection);
    EXPECT_TRUE(made.ok()) << made.message();
    const status done = cuda_attention_forward(device.args, *work, ctx, nullptr);
    EXPECT_TRUE(done.ok()) << done.message();
    EXPECT_TRUE(device.fetch(output)) << "memory beside an output was written";
    check_cuda(cudaMemcpy(bits.words.data(), work->bits, bits.words.size() * sizeof(uint32_t), cudaMemcpyDeviceToHost),
               "cudaMemcpy");
    return {std::move(p), std::move(output), std::move(bits)};
}

void expect_attention_over(const line_method_case & each, const computed_case & computed) {
    const test_case & c = each.c;
    const attention_segment & s = computed.p->segments[0];
    const uint16_t dropped = f32_to_f16(-std::numeric_limits<float>::infinity());
    std::vector<uint16_t> mask(static_cast<size_t>(c.n_head * c.n_q * c.n_kv), dropped);
    for (int64_t head = 0; head < c.n_head; ++head) {
        for (int64_t row = 0; row < c.n_q; ++row) {
            for (int64_t rank = 0; rank <= s.rank_begin + row; ++rank) {
                const int64_t key = s.cells != nullptr ? s.cells[rank] : s.key_begin + rank;
                if (computed.bits.keeps(head, row / 128, rank / computed.bits.shape.block_keys)) {
                    mask[static_cast<size_t>((head * c.n_q + row) * c.n_kv + key)] = 0;
                }
            }
        }
    }
    call_output plain = make_output(c, *computed.p);
    plain.args.mask = mask.data();
    plain.args.mask_stride_row = c.n_kv;
    plain.args.mask_stride_head = c.n_q * c.n_kv;
    std::vector<attention_segment> masked = computed.p->segments;
    masked[0].masked = true;
    const std::vector<oracle_row> oracle = oracle_attention(plain.args, masked, 7);
    plain_attention(plain.args, masked, operands_of(c), 7);
    EXPECT_EQ("", compare(oracle, plain.args, computed.output.args, operands_of(c)).failure) << c.seed;
}

TEST_P(cuda_line_methods_test, vertical_slash_keeps_the_blocks_of_its_lines) {
    int64_t n_decided = 0;
    int64_t n_maybe = 0;
    for (line_method_case each : vertical_slash_cases(false)) {
        const computed_case computed = compute(each, *ctx);
        const bits_verdict verdict = check_line_bits(
            computed.bits,
            vertical_slash_oracle(computed.bits.shape,
                                  vertical_slash_lines(computed.p->args, computed.p->segments[0], each.rule)));
        ASSERT_EQ("", verdict.failure) << each.c.seed;
        expect_attention_over(each, computed);
        n_decided += verdict.n_decided;
        n_maybe += verdict.n_maybe;
    }
    EXPECT_GT(n_decided, 30 * n_maybe);
}

// The published rule has its oracle on the CPU: with the same lines the two devices keep the same.
TEST_P(cuda_line_methods_test, vertical_slash_by_the_published_rule_keeps_what_the_cpu_keeps) {
    int64_t n_equal = 0;
    int64_t n_cases = 0;
    for (line_method_case each : vertical_slash_cases(true)) {
        const computed_case computed = compute(each, *ctx);
        block_bitmap expected(computed.bits.shape);
        ASSERT_TRUE(select_blocks(each.rule, computed.p->args, computed.p->segments[0], 1, expected).ok());
        bool decided = true;  // sums that rounding may order otherwise choose other lines
        for (const oracle_lines & lines : vertical_slash_lines(computed.p->args, computed.p->segments[0], each.rule)) {
            for (const std::vector<kept_state> * states : {&lines.vertical, &lines.slash}) {
                decided = decided && std::count(states->begin(), states->end(), kept_state::maybe) == 0;
            }
        }
        if (decided) {
            ASSERT_EQ(expected.words, computed.bits.words) << each.c.seed;
            ++n_equal;
        }
        expect_attention_over(each, computed);
        ++n_cases;
    }
    EXPECT_GT(2 * n_equal, n_cases);
}

TEST_P(cuda_line_methods_test, flexprefill_keeps_the_blocks_of_its_rule) {
    int64_t n_decided = 0;
    int64_t n_maybe = 0;
    int64_t n_query_aware = 0;
    for (line_method_case each : flexprefill_cases()) {
        const computed_case computed = compute(each, *ctx);
        std::vector<oracle_flexprefill_head> heads;
        for (int64_t head = 0; head < each.c.n_head; ++head) {
            heads.push_back(flexprefill_head_oracle(computed.p->args, computed.p->segments[0], each.rule, head).keep());
            n_query_aware += heads.back().query_aware ? 1 : 0;
        }
        const bits_verdict verdict = check_line_bits(
            computed.bits, flexprefill_oracle(computed.bits.shape, each.rule.values[4] != 0, std::move(heads)));
        ASSERT_EQ("", verdict.failure) << each.c.seed;
        expect_attention_over(each, computed);
        n_decided += verdict.n_decided;
        n_maybe += verdict.n_maybe;
    }
    EXPECT_GT(n_decided, 20 * n_maybe);
    EXPECT_GT(n_query_aware, 0);
}

// Several slabs of keys; the same bits in every call.
TEST_P(cuda_line_methods_test, keep_the_same_bits_in_every_call) {
    for (const char * method : {"flexprefill", "vertical_slash"}) {
        line_method_case each{one_chunk(4100, 300, {}), usual_rule(*find_selection_method(method))};
        const computed_case once = compute(each, *ctx);
        const computed_case again = compute(each, *ctx);
        EXPECT_EQ(once.bits.words, again.bits.words);
        EXPECT_EQ(0, std::memcmp(once.output.out.data(), again.output.out.data(), once.output.out.size()));
    }
}

// 200 vertical and 300 slash lines, held against the oracle.
computed_case expect_lines(line_method_case & each, cuda_context & ctx) {
    each.c.query_gain = 3;
    each.rule.values[0] = 200;
    each.rule.values[1] = 300;
    computed_case computed = compute(each, ctx);
    const bits_verdict verdict = check_line_bits(
        computed.bits,
        vertical_slash_oracle(computed.bits.shape,
                              vertical_slash_lines(computed.p->args, computed.p->segments[0], each.rule)));
    EXPECT_EQ("", verdict.failure);
    EXPECT_GT(verdict.n_decided, 10 * verdict.n_maybe);
    return computed;
}

// Of 5000 keys, that is over the ends of several slabs.
TEST_P(cuda_line_methods_test, keep_the_lines_of_a_longer_prompt) {
    line_method_case each{one_chunk(4700, 300, {}), usual_rule(*find_selection_method("vertical_slash"))};
    each.c.n_head = 2;
    each.c.n_head_kv = 1;
    each.c.d_qk = each.c.d_v = 64;
    const computed_case computed = expect_lines(each, *ctx);
    expect_attention_over(each, computed);
}

// So many heads that a thread block's keys are several slabs.
TEST_P(cuda_line_methods_test, keep_the_lines_of_many_heads) {
    line_method_case each{one_chunk(9000, 128, {}), usual_rule(*find_selection_method("vertical_slash"))};
    each.c.n_head = each.c.n_head_kv = 32;
    each.c.d_qk = each.c.d_v = 128;
    expect_lines(each, *ctx);
}

INSTANTIATE_TEST_SUITE_P(kernels, cuda_line_methods_test, testing::Values("sm90a", "sm80"),
                         [](const auto & instance) { return std::string(instance.param); });

}  // namespace
}  // namespace tmx::test
