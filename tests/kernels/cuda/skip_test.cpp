// Skipped tiles on the GPU: the CPU's cases (skip_cases.h) with every kernel that the device has.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "device_problem.h"
#include "skip_cases.h"

namespace tmx::test {
namespace {

class cuda_skip : public cuda_kernel_test {};

// A case's call on the device, as often as one likes.
class device_call {
  public:
    device_call(const skip_case & s, const problem & p, const skip_oracle & oracle, cuda_context & ctx)
        : s_(s),
          p_(p),
          lists_(oracle.lists()),
          ctx_(ctx),
          output_(make_output(s.c, p)),
          device_(p, output_),
          counts_(&none_, sizeof none_) {
        device_.args.skip_factor = s.factor;
        device_.args.skips = static_cast<skip_counts *>(counts_.data());
    }

    status prepare() { return cuda_prepare(device_.args, p_.segments, lists_, ctx_, nullptr, work_); }
    status forward() {
        const status result = cuda_attention_forward(device_.args, *work_, ctx_, nullptr);
        EXPECT_TRUE(device_.fetch(output_)) << "memory beside an output was written";
        return result;
    }
    // Of all forward() calls together.
    skip_counts counts() {
        skip_counts all;
        EXPECT_TRUE(counts_.fetch(&all));
        return all;
    }
    call_output & output() { return output_; }
    std::string bits() const { return {output_.out.as<char>(), output_.out.size()}; }
    int64_t n_partials() const { return facts_of(*work_).n_partials; }
    std::string written() const { return check_written(s_.c, p_, output_); }

  private:
    const skip_case & s_;
    const problem & p_;
    std::span<const block_lists> lists_;
    cuda_context & ctx_;
    call_output output_;
    device_problem device_;
    skip_counts none_;
    device_copy counts_;
    std::shared_ptr<cuda_work> work_;
};

// Hopper's tiles have 64 rows and 128 keys. Of random keys, and of lists of 64, each such tile may well have one that a
// row of it wants; of the portable kernel's tiles, an eighth as large, many have none.
bool leaves_out_whole_tiles(const skip_case & s) {
    return std::string(cuda_skip::GetParam()) != "sm90a" || (!s.listed && !s.name.starts_with("random_keys"));
}

TEST_P(cuda_skip, leaves_out_what_it_must_and_nothing_else) {
    for (const skip_case & s : skip_cases()) {
        const std::unique_ptr<problem> p = make_problem(s.c);
        const skip_oracle oracle(s, *p);
        device_call call(s, *p, oracle, *ctx);
        const status prepared = call.prepare();
        ASSERT_TRUE(prepared.ok()) << s.name << ": " << prepared.message();
        const status computed = call.forward();
        ASSERT_TRUE(computed.ok()) << s.name << ": " << computed.message();
        EXPECT_EQ("", call.written()) << s.name;
        call_output plain = make_output(s.c, *p);
        EXPECT_EQ("", oracle.check(call.output().args, plain, operands_of(s.c))) << s.name;
        const skip_counts counts = call.counts();
        EXPECT_GT(counts.visited, counts.skipped) << s.name;
        if (s.name != "factor_beyond_all_keys" && s.name != "tiny_factor" && leaves_out_whole_tiles(s)) {
            EXPECT_GT(counts.skipped, 0) << s.name;
        }
        if (s.name == "long") {
            EXPECT_GT(call.n_partials(), 0) << "it is there for the split";
        }
    }
}

TEST_P(cuda_skip, same_bits_on_every_run) {
    for (const skip_case & s : {random_case("random_keys", 100), planted_case("planted", 256)}) {
        const std::unique_ptr<problem> p = make_problem(s.c);
        const skip_oracle oracle(s, *p);
        device_call call(s, *p, oracle, *ctx);
        ASSERT_TRUE(call.prepare().ok());
        ASSERT_TRUE(call.forward().ok());
        const std::string first = call.bits();
        const skip_counts once = call.counts();
        for (int run = 2; run <= 20; ++run) {
            ASSERT_TRUE(call.forward().ok());
            EXPECT_EQ(first, call.bits()) << s.name << ", run " << run;
            EXPECT_EQ(run * once.skipped, call.counts().skipped) << s.name;
        }
    }
}

// Items of few tiles and few rows, thousands of them: a warpgroup without a row skips all, far ahead of the other one.
TEST_P(cuda_skip, warpgroups_that_skip_wait_for_those_that_do_not) {
    for (const int64_t dim : {64, 128, 256}) {
        skip_case s{"many_short_rows", one_chunk(0, 1, {}), 4, false};
        s.c.n_batch = 40000 / dim;
        s.c.n_kv = 200;
        s.c.n_q = 70;
        s.c.n_head = 3;
        s.c.n_head_kv = 3;
        s.c.d_qk = s.c.d_v = dim;
        s.c.segments.clear();
        for (int32_t batch = 0; batch < s.c.n_batch; ++batch) {
            case_segment segment;
            segment.rows.batch = batch;
            segment.rows.row_end = 1 + batch % 70;  // up to 64 rows the second warpgroup has none
            segment.rows.rank_begin = batch % 128;
            s.c.segments.push_back(segment);
        }
        s.c.query_gain = 6;
        const std::unique_ptr<problem> p = make_problem(s.c);
        call_output output = make_output(s.c, *p);
        device_problem device(*p, output);
        device.args.skip_factor = 1e-30f;  // every tile that a row sees is wanted
        std::shared_ptr<cuda_work> work;
        ASSERT_TRUE(cuda_prepare(device.args, p->segments, {}, *ctx, nullptr, work).ok());
        const std::vector<oracle_row> oracle = oracle_attention(p->args, p->segments, 64);
        call_output plain = make_output(s.c, *p);
        plain_attention(plain.args, p->segments, rounding::f16, 64);
        for (int run = 0; run < 3; ++run) {
            ASSERT_TRUE(cuda_attention_forward(device.args, *work, *ctx, nullptr).ok());
            EXPECT_TRUE(device.fetch(output));
            EXPECT_EQ("", compare(oracle, plain.args, output.args, rounding::f16).failure) << "d = " << dim;
        }
    }
}

INSTANTIATE_TEST_SUITE_P(kernels, cuda_skip, testing::Values("sm90a", "sm80"),
                         [](const auto & instance) { return std::string(instance.param); });

}  // namespace
}  // namespace tmx::test
