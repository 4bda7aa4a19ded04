// Broken arguments are refused by name and leave the outputs untouched; empty work is no error.
#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "cases.h"
#include "problem.h"
#include "tested_kernels.h"

namespace tmx::test {
namespace {

constexpr int64_t k_int64_max = std::numeric_limits<int64_t>::max();

struct call {
    attention_args args;
    std::vector<attention_segment> segments;
    cpu_context ctx;
};

test_case small_case() {
    test_case c;
    c.name = "small";
    c.n_q = 20;
    c.n_kv = 60;
    c.k_type = dtype::q8_0;
    case_segment segment;
    segment.rows.row_end = 20;
    segment.rows.rank_begin = 10;
    segment.rows.key_begin = 5;
    segment.rows.kept = {2, 8};
    c.segments = {segment};
    return c;
}

bool all_poison(const guarded_buffer & buffer) {
    for (size_t i = 0; i < buffer.size(); ++i) {
        if (buffer.data()[i] != guarded_buffer::k_poison) {
            return false;
        }
    }
    return true;
}

class edges : public testing::Test {
  protected:
    // Expects the call to fail with `code` and a message that names `field`.
    void expect_refused(status_code code, const char * field, const std::function<void(call &)> & change) {
        const test_case c = small_case();
        const std::unique_ptr<problem> p = make_problem(c);
        const call_output output = make_output(c, *p);
        call broken;
        broken.args = output.args;
        broken.segments = p->segments;
        change(broken);
        const status result = attention_forward(broken.args, broken.segments, broken.ctx);
        EXPECT_EQ(code, result.code()) << field << ": " << result.message();
        EXPECT_NE(std::string::npos, std::string(result.message()).find(field))
            << "the message does not name " << field << ": \"" << result.message() << '"';
        EXPECT_TRUE(all_poison(output.out) && all_poison(output.lse)) << field << ": an output was written";
    }

    void expect_invalid(const char * field, const std::function<void(call &)> & change) {
        expect_refused(status_code::invalid_argument, field, change);
    }
};

TEST_F(edges, valid_call_is_accepted) {
    const test_case c = small_case();
    const std::unique_ptr<problem> p = make_problem(c);
    const call_output output = make_output(c, *p);
    cpu_context ctx;
    EXPECT_TRUE(attention_forward(output.args, p->segments, ctx).ok());
    EXPECT_EQ("", check_written(c, *p, output));
}

TEST_F(edges, null_tensors) {
    expect_invalid("q", [](call & k) { k.args.q = nullptr; });
    expect_invalid("k", [](call & k) { k.args.k = nullptr; });
    expect_invalid("v", [](call & k) { k.args.v = nullptr; });
    expect_invalid("out", [](call & k) { k.args.out = nullptr; });
}

TEST_F(edges, sizes) {
    expect_invalid("n_batch", [](call & k) { k.args.n_batch = 0; });
    expect_invalid("n_head", [](call & k) { k.args.n_head = 0; });
    expect_invalid("n_head_kv", [](call & k) { k.args.n_head_kv = 0; });
    expect_invalid("n_head_kv", [](call & k) { k.args.n_head_kv = 3; });
    expect_invalid("n_q", [](call & k) { k.args.n_q = -1; });
    expect_invalid("n_kv", [](call & k) { k.args.n_kv = -1; });
    for (const int64_t dim : {-16, 0, 8, 24, 100, 272}) {
        expect_invalid("d_qk", [&](call & k) { k.args.d_qk = dim; });
        expect_invalid("d_v", [&](call & k) { k.args.d_v = dim; });
    }
}

TEST_F(edges, numbers) {
    for (const float value : {std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity(),
                              std::numeric_limits<float>::quiet_NaN()}) {
        expect_invalid("scale", [&](call & k) { k.args.scale = value; });
        expect_invalid("logit_softcap", [&](call & k) { k.args.logit_softcap = value; });
    }
    expect_invalid("logit_softcap", [](call & k) { k.args.logit_softcap = -1; });
}

TEST_F(edges, block_types) {
    expect_invalid("k strides", [](call & k) { ++k.args.k_stride_row; });
    expect_invalid("k strides", [](call & k) { k.args.k_stride_head += 16; });
    expect_invalid("k strides", [](call & k) { k.args.k_stride_batch += 16; });
    expect_invalid("d_qk", [](call & k) { k.args.d_qk = 48; });
    expect_invalid("v strides", [](call & k) {
        k.args.v_type = dtype::q4_0;
        ++k.args.v_stride_row;
    });
    expect_invalid("k_type", [](call & k) { k.args.k_type = static_cast<dtype>(99); });
    expect_invalid("v_type", [](call & k) { k.args.v_type = static_cast<dtype>(99); });
}

TEST_F(edges, segments) {
    expect_invalid("batch", [](call & k) { k.segments[0].batch = 1; });
    expect_invalid("batch", [](call & k) { k.segments[0].batch = -1; });
    expect_invalid("rows", [](call & k) { k.segments[0].row_begin = -1; });
    expect_invalid("rows", [](call & k) { k.segments[0].row_begin = 21; });
    expect_invalid("rows", [](call & k) { k.segments[0].row_end = 21; });
    expect_invalid("rows", [](call & k) { k.segments[0].row_end = k_int64_max; });
    expect_invalid("rank", [](call & k) { k.segments[0].rank_begin = -1; });
    expect_invalid("rank", [](call & k) { k.segments[0].rank_begin = 41; });
    expect_invalid("rank", [](call & k) { k.segments[0].rank_begin = k_int64_max; });
    expect_invalid("key", [](call & k) { k.segments[0].key_begin = -1; });
    expect_invalid("key", [](call & k) { k.segments[0].key_begin = 31; });
    expect_invalid("key", [](call & k) { k.segments[0].key_begin = k_int64_max; });
    expect_invalid("n_sink", [](call & k) { k.segments[0].kept.n_sink = -1; });
    expect_invalid("n_window", [](call & k) { k.segments[0].kept.n_window = 0; });
    expect_invalid("mask", [](call & k) { k.segments[0].masked = true; });
    std::vector<int32_t> cells(30, 7);
    for (const int32_t bad : {-1, 60}) {
        cells[29] = bad;
        expect_invalid("cells", [&](call & k) { k.segments[0].cells = cells.data(); });
    }
    expect_invalid("segment 1", [](call & k) {
        k.segments.push_back(k.segments[0]);
        k.segments[1].row_begin = -1;
    });
}

TEST_F(edges, context) {
    expect_invalid("n_threads", [](call & k) { k.ctx.n_threads = 0; });
    expect_invalid("n_threads", [](call & k) { k.ctx.n_threads = -3; });
    expect_invalid("no_such_kernel", [](call & k) { k.ctx.kernel = "no_such_kernel"; });
    expect_invalid("kernel", [](call & k) { k.ctx.kernel = ""; });
    for (const cpu_kernel_info & kernel : cpu_kernels()) {
        if (!kernel.fast) {
            expect_refused(status_code::unsupported, kernel.name, [&](call & k) {
                k.ctx.kernel = kernel.name;
                k.ctx.arithmetic = precision::fast;
            });
        }
    }
}

TEST_F(edges, empty_work_is_no_error) {
    const test_case c = small_case();
    const std::unique_ptr<problem> p = make_problem(c);
    const call_output output = make_output(c, *p);
    cpu_context ctx;
    EXPECT_TRUE(attention_forward(output.args, {}, ctx).ok());
    std::vector<attention_segment> no_rows = p->segments;
    no_rows[0].row_end = no_rows[0].row_begin;
    EXPECT_TRUE(attention_forward(output.args, no_rows, ctx).ok());
    attention_args nothing = output.args;
    nothing.n_q = nothing.n_kv = 0;
    EXPECT_TRUE(attention_forward(nothing, {}, ctx).ok());
    EXPECT_TRUE(all_poison(output.out) && all_poison(output.lse));
}

TEST_F(edges, context_works_after_a_refused_call) {
    const test_case c = small_case();
    const std::unique_ptr<problem> p = make_problem(c);
    const call_output output = make_output(c, *p);
    cpu_context ctx;
    attention_args broken = output.args;
    broken.scale = std::numeric_limits<float>::quiet_NaN();
    EXPECT_FALSE(attention_forward(broken, p->segments, ctx).ok());
    EXPECT_TRUE(attention_forward(output.args, p->segments, ctx).ok());
    EXPECT_EQ("", check_written(c, *p, output));
}

}  // namespace
}  // namespace tmx::test
