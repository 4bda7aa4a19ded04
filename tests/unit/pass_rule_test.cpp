// The pass rule itself: it must reject every plausible mistake of a kernel, and accept honest rounding. The "kernel"
// here is plain_attention() called with arguments that hold the mistake, in f32 and in bf16.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "cases.h"
#include "compare.h"
#include "oracle.h"
#include "plain.h"
#include "problem.h"

namespace tmx::test {
namespace {

// A chunk in the middle of a prompt, in two segments, with every option on.
test_case rich_case() {
    test_case c;
    c.name = "rich";
    c.n_q = 80;
    c.n_kv = 250;
    c.d_qk = c.d_v = 32;
    c.sink_logits = true;
    c.dense_heads = true;
    c.softcap = 8;
    c.query_gain = 2;
    for (const int64_t begin : {0, 50}) {
        case_segment segment;
        segment.rows.row_begin = begin;
        segment.rows.row_end = begin == 0 ? 50 : 80;
        segment.rows.rank_begin = 120 + begin;
        segment.rows.key_begin = 17;
        segment.rows.kept = {8, 40};
        c.segments.push_back(segment);
    }
    return c;
}

test_case masked_case() {
    test_case c = rich_case();
    c.name = "masked";
    c.dense_heads = false;
    c.mask = mask_kind::alibi;
    c.alibi_slopes = true;
    for (case_segment & segment : c.segments) {
        segment.rows.masked = true;
    }
    return c;
}

struct call {
    attention_args args;
    std::vector<attention_segment> segments;
};
using mistake = std::function<void(call &)>;

// What compare() says of a kernel that makes `before` (a wrong call) and `after` (a wrong result), in `arithmetic`.
std::string verdict(const test_case & c, precision arithmetic, const mistake & before, const mistake & after = {},
                    precision claimed = precision::exact) {
    const std::unique_ptr<problem> p = make_problem(c);
    const std::vector<oracle_row> oracle = oracle_attention(p->args, p->segments);
    const call_output plain = make_output(c, *p);
    const call_output output = make_output(c, *p);
    plain_attention(plain.args, p->segments, claimed);
    call wrong{output.args, p->segments};
    if (before) {
        before(wrong);
    }
    plain_attention(wrong.args, wrong.segments, arithmetic);
    wrong.args = output.args;
    if (after) {
        after(wrong);
    }
    return compare(oracle, plain.args, output.args, claimed).failure;
}

void expect_caught(const char * what, const test_case & c, const mistake & before, const mistake & after = {}) {
    EXPECT_NE("", verdict(c, precision::exact, before, after, precision::exact)) << what << ", exact";
    EXPECT_NE("", verdict(c, precision::fast, before, after, precision::fast)) << what << ", fast";
}

TEST(pass_rule, accepts_honest_rounding) {
    for (const test_case & c : {rich_case(), masked_case()}) {
        EXPECT_EQ("", verdict(c, precision::exact, {}, {}, precision::exact));
        EXPECT_EQ("", verdict(c, precision::fast, {}, {}, precision::fast));
        EXPECT_EQ("", verdict(c, precision::exact, {}, {}, precision::fast)) << "better than claimed";
    }
}

// What `fast` must let pass, `exact` must not.
TEST(pass_rule, exact_is_much_stricter) {
    const test_case c = rich_case();
    EXPECT_NE("", verdict(c, precision::fast, {}));
    EXPECT_NE("", verdict(c, precision::exact, [](call & k) { k.args.scale *= 1.00003f; }));
    EXPECT_NE("", verdict(c, precision::exact, {}, [](call & k) { k.args.out[70] += 1e-4f; }));
}

TEST(pass_rule, rejects_wrong_geometry) {
    const test_case c = rich_case();
    expect_caught("window one longer", c, [](call & k) { ++k.segments[0].kept.n_window; });
    expect_caught("window one shorter", c, [](call & k) { --k.segments[0].kept.n_window; });
    expect_caught("one sink key more", c, [](call & k) { ++k.segments[0].kept.n_sink; });
    expect_caught("one sink key less", c, [](call & k) { --k.segments[0].kept.n_sink; });
    expect_caught("no sink keys", c, [](call & k) { k.segments[0].kept.n_sink = 0; });
    expect_caught("dense", c, [](call & k) { k.segments[1].kept = {}; });
    expect_caught("own key dropped", c, [](call & k) {
        --k.segments[1].rank_begin;
        --k.segments[1].kept.n_window;
    });
    expect_caught("next key kept", c, [](call & k) {
        ++k.segments[0].rank_begin;
        ++k.segments[0].kept.n_window;
    });
    expect_caught("keys shifted", c, [](call & k) { ++k.segments[0].key_begin; });
    expect_caught("dense heads ignored", c, [](call & k) { k.args.dense_head = nullptr; });
}

TEST(pass_rule, rejects_wrong_arithmetic) {
    const test_case c = rich_case();
    expect_caught("scale 5% off", c, [](call & k) { k.args.scale *= 1.05f; });
    expect_caught("scale missing", c, [](call & k) { k.args.scale = 1; });
    expect_caught("softcap missing", c, [](call & k) { k.args.logit_softcap = 0; });
    expect_caught("sink logits missing", c, [](call & k) { k.args.sink_logit = nullptr; });
    expect_caught("every head reads the keys of head 0", c, [](call & k) { k.args.k_stride_head = 0; });
    expect_caught("every head reads the values of head 0", c, [](call & k) { k.args.v_stride_head = 0; });
    const test_case masked = masked_case();
    expect_caught("slopes ignored", masked, [](call & k) { k.args.alibi_slope = nullptr; });
    expect_caught("mask of the row before", masked, [](call & k) {
        k.segments[0].row_begin = 1;
        k.args.mask -= k.args.mask_stride_row;
    });
}

TEST(pass_rule, rejects_wrong_results) {
    const test_case c = rich_case();
    const auto element_of = [](const call & k, int64_t row, int64_t head) {
        return k.args.out + row * k.args.out_stride_row + head * k.args.out_stride_head;
    };
    expect_caught("one element off", c, {}, [&](call & k) { *element_of(k, 77, 2) += 0.3f; });
    expect_caught("one NaN", c, {}, [&](call & k) { *element_of(k, 79, 3) = std::numeric_limits<float>::quiet_NaN(); });
    expect_caught("one infinity", c, {},
                  [&](call & k) { *element_of(k, 0, 0) = std::numeric_limits<float>::infinity(); });
    expect_caught("a row's heads exchanged", c, {}, [&](call & k) {
        std::swap_ranges(element_of(k, 5, 0), element_of(k, 5, 0) + k.args.d_v, element_of(k, 5, 1));
    });
    expect_caught("all values 2% small", c, {}, [&](call & k) {
        for (int64_t i = 0; i < k.args.n_q * k.args.n_head * k.args.d_v; ++i) {
            k.args.out[i] *= 0.98f;
        }
    });
    expect_caught("log-sum-exp to base 2", c, {}, [](call & k) {
        for (int64_t i = 0; i < k.args.n_q * k.args.n_head; ++i) {
            k.args.lse[i] *= 1.442695f;
        }
    });
    expect_caught("log-sum-exp without its maximum", c, {}, [](call & k) { k.args.lse[3] = 0.5f; });
}

TEST(pass_rule, rejects_weight_in_empty_rows) {
    test_case c = masked_case();
    c.sink_logits = false;
    c.mask = mask_kind::sparse;  // row 1 keeps nothing
    expect_caught("an empty row is an average", c, {}, [](call & k) { k.args.out[k.args.out_stride_row] = 1e-6f; });
    expect_caught("an empty row's lse is finite", c, {}, [](call & k) { k.args.lse[1] = -1e30f; });
}

}  // namespace
}  // namespace tmx::test
