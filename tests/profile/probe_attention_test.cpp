// The probe's attention, forward and backward, of every implementation of this build: against double precision with an
// `if` per pair, and the GPU's against the CPU's on shapes too large for that.
#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "guarded_buffer.h"
#include "probe/probe_attention.h"

#ifdef TMX_CUDA
#include <cuda_runtime_api.h>
#endif

namespace tmx::test {
namespace {

// Errors are held against sums of the absolute values of all that was added up. A weight's relative error is its
// logit's absolute error; a logit is a sum of d <= 256 rounded products of either sign and stays below 8 here, so that
// is about 2^-24 * sqrt(256) * 8 = 8e-6 at worst. Seen are 1e-6.
constexpr double k_tolerance = 1e-5;
constexpr double k_epsilon = 0x1p-24;

// Null: no such device here.
std::unique_ptr<probe_attention> make(const std::string & implementation) {
#ifdef TMX_CUDA
    if (implementation == "cuda") {
        char address[32] = {};
        if (cudaDeviceGetPCIBusId(address, sizeof(address), 0) != cudaSuccess) {
            return nullptr;
        }
        std::transform(address, address + sizeof(address), address, [](unsigned char c) { return std::tolower(c); });
        return make_cuda_probe_attention(address);
    }
#endif
    return implementation == "cpu" ? make_cpu_probe_attention(2) : nullptr;
}

// One for all tests, so that memory left by one shape meets the next.
probe_attention * shared(const std::string & implementation) {
    static std::map<std::string, std::unique_ptr<probe_attention>> all;
    if (!all.contains(implementation)) {
        all[implementation] = make(implementation);
    }
    return all[implementation].get();
}

struct heads {
    int64_t n_head;
    int64_t n_head_kv;
};

struct problem {
    probe_attention_shape shape;
    std::vector<float> q, k, v, d_out;
};

problem make_problem(int64_t n, heads h, int64_t d) {
    problem p;
    p.shape = {n, h.n_head, h.n_head_kv, d, 1.0F / std::sqrt(static_cast<float>(d))};
    std::minstd_rand random(static_cast<unsigned>(n * 1000 + h.n_head * 300 + d));
    const auto fill = [&](std::vector<float> & values, int64_t n_head, float size) {
        values.resize(static_cast<size_t>(n * n_head * d));
        std::uniform_real_distribution<float> number(-size, size);
        std::generate(values.begin(), values.end(), [&] { return number(random); });
    };
    fill(p.q, h.n_head, 4);  // logits of 1.3 on average: some weights are large
    fill(p.k, h.n_head_kv, 1);
    fill(p.v, h.n_head_kv, 1);
    fill(p.d_out, h.n_head, 1);
    return p;
}

// What a forward pass is asked to keep.
struct pattern {
    const char * name;
    std::vector<row_segment> segments;
    bool some_dense_heads = false;
    bool no_lse = false;
};

std::vector<row_segment> triangle(int64_t n, const triangle_shape & s) {
    const int64_t last = std::max<int64_t>(n - s.n_last, 0);
    std::vector<row_segment> segments;
    if (last > 0) {
        segments.push_back({{0, last}, {s.n_sink, s.n_window}});
    }
    if (last < n) {
        segments.push_back({{last, n}, {}});
    }
    return segments;
}

std::vector<pattern> patterns(int64_t n) {
    std::vector<pattern> all = {{"dense", {{{0, n}, {}}}},
                                {"triangle", triangle(n, {4, 40, 20})},
                                {"window_beyond_all", triangle(n, {4, n + 5, 20})},
                                {"no_last", triangle(n, {4, 40, 0})},
                                {"no_sink", triangle(n, {0, 40, 20})},
                                {"no_sink_smallest_window", triangle(n, {0, 1, 0})},
                                {"some_dense_heads", triangle(n, {4, 40, 20}), true},
                                {"no_lse", triangle(n, {4, 40, 20}), false, true}};
    if (n > 12) {
        // Borders inside a tile; the middle one visits keys that lie apart.
        all.push_back({"three_bands", {{{0, 9}, {}}, {{9, n - 3}, {1, 2}}, {{n - 3, n}, {0, 70}}}});
    }
    return all;
}

std::vector<triangle_shape> section_shapes(int64_t n) {
    return {{4, 40, 20}, {0, 40, 0}, {4, n + 5, 20}, {3, 1, n + 7}, {0, 1, 1}};
}

template <typename value>
struct output {
    explicit output(size_t n) : memory(n * sizeof(value)) {}
    output(output &&) = default;
    const value & operator[](size_t i) const { return memory.as<value>()[i]; }
    value * data() { return memory.as<value>(); }
    size_t size() const { return memory.size() / sizeof(value); }
    bool operator==(const output & other) const {
        return size() == other.size() && std::memcmp(memory.data(), other.memory.data(), memory.size()) == 0;
    }
    guarded_buffer memory;  // NaN before the call
};

struct forward_result {
    output<float> out, lse;
};

std::vector<uint8_t> dense_heads(const problem & p, const pattern & kept) {
    std::vector<uint8_t> dense(static_cast<size_t>(p.shape.n_head));
    for (size_t h = 0; h < dense.size(); ++h) {
        dense[h] = kept.some_dense_heads && h % 2 == 1 ? 1 : 0;
    }
    return dense;
}

forward_result forward(probe_attention & attention, const problem & p, const pattern & kept) {
    forward_result result{output<float>(p.q.size()), output<float>(static_cast<size_t>(p.shape.n_head * p.shape.n))};
    const std::vector<uint8_t> dense = dense_heads(p, kept);
    attention.forward({p.shape, p.q.data(), p.k.data(), p.v.data(), result.out.data(),
                       kept.no_lse ? nullptr : result.lse.data(), kept.segments,
                       kept.some_dense_heads ? dense.data() : nullptr});
    EXPECT_TRUE(result.out.memory.canary_intact() && result.lse.memory.canary_intact());
    return result;
}

struct backward_result {
    output<float> dq, dk, dv;
    output<head_sums> sums;
};

backward_result backward(probe_attention & attention, const problem & p, forward_result & dense,
                         const triangle_shape & sections) {
    backward_result result{output<float>(p.q.size()), output<float>(p.k.size()), output<float>(p.k.size()),
                           output<head_sums>(static_cast<size_t>(p.shape.n_head))};
    attention.backward({p.shape, p.q.data(), p.k.data(), p.v.data(), dense.out.data(), dense.lse.data(), p.d_out.data(),
                        result.dq.data(), result.dk.data(), result.dv.data(), result.sums.data(), sections});
    EXPECT_TRUE(result.dq.memory.canary_intact() && result.dk.memory.canary_intact() &&
                result.dv.memory.canary_intact() && result.sums.memory.canary_intact());
    return result;
}

// A sum in double precision, and of what size its terms are.
struct number {
    double value = 0;
    double size = 0;

    void add(double term, double term_size) {
        value += term;
        size += term_size;
    }
};

struct reference_sums {
    number of[3][4];  // by section: |dA|, |dA A|, |dS|, A
};

class reference {
  public:
    reference(const problem & p, const pattern & kept) : p_(p), kept_(kept), dense_(dense_heads(p, kept)) {
        out.resize(p.q.size());
        dq.resize(p.q.size());
        dk.resize(p.k.size());
        dv.resize(p.k.size());
        lse.resize(static_cast<size_t>(p.shape.n_head * p.shape.n));
        for (int64_t h = 0; h < p.shape.n_head; ++h) {
            for (int64_t i = 0; i < p.shape.n; ++i) {
                row(h, i);
            }
        }
    }

    std::vector<number> out, lse, dq, dk, dv;

    reference_sums sums(int64_t head, const triangle_shape & s) const {
        reference_sums result;
        for (const pair & x : pairs_) {
            if (x.head == head) {
                int section = 2;
                if (x.j < s.n_sink || x.i - x.j < s.n_window) {
                    section = 0;
                } else if (x.i >= p_.shape.n - s.n_last) {
                    section = 1;
                }
                number(&to)[4] = result.of[section];
                to[0].add(std::abs(x.da.value), x.da.size);
                to[1].add(std::abs(x.da.value) * x.a, x.da.size * x.a);
                to[2].add(std::abs(x.ds.value), x.ds.size);
                to[3].add(x.a, x.a);
            }
        }
        return result;
    }

  private:
    struct pair {
        int64_t head, i, j;
        double a;
        number da, ds;
    };

    const problem & p_;
    const pattern & kept_;
    std::vector<uint8_t> dense_;
    std::vector<pair> pairs_;

    bool keeps(int64_t h, int64_t i, int64_t j) const {
        if (dense_[static_cast<size_t>(h)] != 0) {
            return j <= i;
        }
        for (const row_segment & s : kept_.segments) {
            if (i >= s.rows.begin && i < s.rows.end) {
                return j <= i && (j < s.kept.n_sink || i - j < s.kept.n_window);
            }
        }
        return false;
    }

    void row(int64_t h, int64_t i) {
        const probe_attention_shape & s = p_.shape;
        const int64_t kv = h / (s.n_head / s.n_head_kv);
        const auto query = static_cast<size_t>((i * s.n_head + h) * s.d);
        const auto key = [&](int64_t j) { return static_cast<size_t>((j * s.n_head_kv + kv) * s.d); };
        const auto d = static_cast<size_t>(s.d);
        const double scale = static_cast<double>(s.scale);
        std::vector<pair> row;
        std::vector<double> logits;
        double total = 0;
        for (int64_t j = 0; j < s.n; ++j) {
            if (keeps(h, i, j)) {
                double dot = 0;
                number da;
                for (size_t c = 0; c < d; ++c) {
                    dot += at(p_.q, query + c) * at(p_.k, key(j) + c);
                    const double term = at(p_.d_out, query + c) * at(p_.v, key(j) + c);
                    da.add(term, std::abs(term));
                }
                logits.push_back(scale * dot);
                total += std::exp(logits.back());
                row.push_back({h, i, j, 0, da, {}});
            }
        }
        const double log_total = std::log(total);
        lse[static_cast<size_t>(h * s.n + i)] = {log_total, 1 + std::abs(log_total)};
        number mean;  // D of the formulas
        for (size_t x = 0; x < row.size(); ++x) {
            row[x].a = std::exp(logits[x] - log_total);
            mean.add(row[x].a * row[x].da.value, row[x].a * row[x].da.size);
        }
        for (pair & x : row) {
            x.ds = {x.a * (x.da.value - mean.value), x.a * (x.da.size + mean.size)};
            for (size_t c = 0; c < d; ++c) {
                const double q = at(p_.q, query + c);
                const double k = at(p_.k, key(x.j) + c);
                const double v = at(p_.v, key(x.j) + c);
                const double d_out = at(p_.d_out, query + c);
                out[query + c].add(x.a * v, x.a * std::abs(v));
                dv[key(x.j) + c].add(x.a * d_out, x.a * std::abs(d_out));
                dq[query + c].add(scale * x.ds.value * k, scale * x.ds.size * std::abs(k));
                dk[key(x.j) + c].add(scale * x.ds.value * q, scale * x.ds.size * std::abs(q));
            }
            pairs_.push_back(x);
        }
    }

    static double at(const std::vector<float> & values, size_t i) { return static_cast<double>(values[i]); }
};

// Counts what is wrong and keeps the largest error as a share of its bound.
struct verdict {
    size_t n_wrong = 0;
    double worst = 0;
    std::string first;

    void check(const char * what, size_t at, double wanted, double got, double bound) {
        const double share = std::abs(got - wanted) / bound;
        if (!(share <= 1)) {
            if (n_wrong++ == 0) {
                char text[160];
                std::snprintf(text, sizeof(text), "%s[%zu] is %.9g, wanted %.9g +- %.3g", what, at, got, wanted, bound);
                first = text;
            }
            return;
        }
        worst = std::max(worst, share);
    }
    void check(const char * what, const std::vector<number> & wanted, const output<float> & got) {
        for (size_t i = 0; i < wanted.size(); ++i) {
            check(what, i, wanted[i].value, static_cast<double>(got[i]), k_tolerance * wanted[i].size);
        }
    }
    // Between implementations: by the largest value, and what rounding leaves of terms that cancel.
    void check(const char * what, const output<float> & wanted, const output<float> & got, double left_over) {
        double largest = 0;
        for (size_t i = 0; i < wanted.size(); ++i) {
            largest = std::max(largest, static_cast<double>(std::abs(wanted[i])));
        }
        for (size_t i = 0; i < wanted.size(); ++i) {
            check(what, i, static_cast<double>(wanted[i]), static_cast<double>(got[i]),
                  2 * k_tolerance * largest + left_over);
        }
    }
    std::string text() const { return n_wrong == 0 ? "" : std::to_string(n_wrong) + " wrong, first " + first; }
};

std::array<double, 4> values_of(const section_sums & s) {
    return {s.gradient, s.contribution, s.score_gradient, s.mass};
}

class ProbeAttention : public ::testing::TestWithParam<const char *> {
  protected:
    void SetUp() override {
        if (shared(GetParam()) == nullptr) {
            GTEST_SKIP() << "no NVIDIA GPU for the probe's attention";
        }
    }
    probe_attention & attention() const { return *shared(GetParam()); }
};

TEST_P(ProbeAttention, EqualsDoublePrecision) {
    double worst = 0;
    for (const int64_t n : {1, 17, 64, 65, 131}) {
        for (const heads h : {heads{4, 4}, heads{6, 2}, heads{3, 1}}) {
            for (const int64_t d : {16, 80}) {
                const problem p = make_problem(n, h, d);
                SCOPED_TRACE(testing::Message()
                             << "n " << n << " heads " << h.n_head << "/" << h.n_head_kv << " d " << d);
                for (const pattern & kept : patterns(n)) {
                    verdict v;
                    const reference wanted(p, kept);
                    const forward_result got = forward(attention(), p, kept);
                    v.check("out", wanted.out, got.out);
                    if (!kept.no_lse) {
                        v.check("lse", wanted.lse, got.lse);
                    }
                    EXPECT_EQ("", v.text()) << kept.name;
                    worst = std::max(worst, v.worst);
                }
                const pattern dense = patterns(n)[0];
                const reference wanted(p, dense);
                forward_result made = forward(attention(), p, dense);
                for (const triangle_shape & s : section_shapes(n)) {
                    verdict v;
                    const backward_result got = backward(attention(), p, made, s);
                    v.check("dq", wanted.dq, got.dq);
                    v.check("dk", wanted.dk, got.dk);
                    v.check("dv", wanted.dv, got.dv);
                    for (int64_t head = 0; head < h.n_head; ++head) {
                        const reference_sums sums = wanted.sums(head, s);
                        for (size_t i = 0; i < 12; ++i) {
                            const number & x = sums.of[i / 4][i % 4];
                            v.check("sums", i, x.value, values_of(got.sums[static_cast<size_t>(head)][i / 4])[i % 4],
                                    k_tolerance * x.size + std::numeric_limits<double>::min());
                        }
                    }
                    EXPECT_EQ("", v.text()) << "sections " << s.n_sink << " " << s.n_window << " " << s.n_last;
                    worst = std::max(worst, v.worst);
                }
            }
        }
    }
    std::printf("%s: largest error is %.2f of its bound\n", GetParam(), worst);
}

TEST_P(ProbeAttention, SameBitsEveryTime) {
    const problem p = make_problem(333, {6, 2}, 80);
    const pattern kept = patterns(333)[1];
    EXPECT_TRUE(forward(attention(), p, kept).out == forward(attention(), p, kept).out);
    forward_result dense = forward(attention(), p, patterns(333)[0]);
    const backward_result first = backward(attention(), p, dense, {4, 40, 20});
    const backward_result second = backward(attention(), p, dense, {4, 40, 20});
    EXPECT_TRUE(first.dq == second.dq);
    EXPECT_TRUE(first.dk == second.dk);
    EXPECT_TRUE(first.dv == second.dv);
    EXPECT_TRUE(first.sums == second.sums);
}

TEST(ProbeAttentionDevice, UnknownAddressIsNull) {
    EXPECT_EQ(nullptr, make_cuda_probe_attention("ffff:ff:1f.0"));
    EXPECT_EQ(nullptr, make_cuda_probe_attention("nowhere"));
}

#ifdef TMX_CUDA

INSTANTIATE_TEST_SUITE_P(Implementations, ProbeAttention, ::testing::Values("cpu", "cuda"),
                         [](const auto & instance) { return std::string(instance.param); });

constexpr int64_t k_lengths[] = {1, 17, 63, 64, 65, 200, 777, 1500};
constexpr heads k_heads[] = {{4, 4}, {6, 2}, {9, 3}, {8, 1}};
constexpr int64_t k_dims[] = {16, 64, 80, 96, 128, 256};

class CudaProbeAttention : public ::testing::TestWithParam<size_t> {};

TEST_P(CudaProbeAttention, EqualsCpu) {
    if (shared("cuda") == nullptr) {
        GTEST_SKIP() << "no NVIDIA GPU for the probe's attention";
    }
    const int64_t n = k_lengths[GetParam()];
    double worst = 0;
    for (size_t x = 0; x < std::size(k_dims); ++x) {
        const heads h = k_heads[(x + GetParam()) % std::size(k_heads)];  // each with every length and dimension
        const int64_t d = k_dims[x];
        const problem p = make_problem(n, h, d);
        SCOPED_TRACE(testing::Message() << "heads " << h.n_head << "/" << h.n_head_kv << " d " << d);
        for (const pattern & kept : patterns(n)) {
            verdict v;
            const forward_result wanted = forward(*shared("cpu"), p, kept);
            const forward_result got = forward(*shared("cuda"), p, kept);
            v.check("out", wanted.out, got.out, k_epsilon);
            if (!kept.no_lse) {
                v.check("lse", wanted.lse, got.lse, k_tolerance);
            }
            EXPECT_EQ("", v.text()) << kept.name;
            worst = std::max(worst, v.worst);
        }
        forward_result dense = forward(*shared("cpu"), p, patterns(n)[0]);
        // dS = A (dA - D): sums of d products of size 1, then a product with scale and a q of up to 4.
        const double left_over = 4 * k_epsilon * std::sqrt(static_cast<double>(d));
        for (const triangle_shape & s : section_shapes(n)) {
            verdict v;
            const backward_result wanted = backward(*shared("cpu"), p, dense, s);
            const backward_result got = backward(*shared("cuda"), p, dense, s);
            v.check("dq", wanted.dq, got.dq, left_over);
            v.check("dk", wanted.dk, got.dk, left_over);
            v.check("dv", wanted.dv, got.dv, left_over);
            for (size_t i = 0; i < wanted.sums.size() * 12; ++i) {
                const section_sums & sums = wanted.sums[i / 12][i % 12 / 4];
                const double value = values_of(sums)[i % 4];
                v.check("sums", i, value, values_of(got.sums[i / 12][i % 12 / 4])[i % 4],
                        2 * k_tolerance * (value + sums.contribution) + std::numeric_limits<double>::min());
            }
            EXPECT_EQ("", v.text()) << "sections " << s.n_sink << " " << s.n_window << " " << s.n_last;
            worst = std::max(worst, v.worst);
        }
    }
    std::printf("largest error is %.2f of its bound\n", worst);
}

INSTANTIATE_TEST_SUITE_P(Lengths, CudaProbeAttention, ::testing::Range(size_t{0}, std::size(k_lengths)),
                         [](const auto & instance) { return "n" + std::to_string(k_lengths[instance.param]); });

#else

INSTANTIATE_TEST_SUITE_P(Implementations, ProbeAttention, ::testing::Values("cpu"),
                         [](const auto & instance) { return std::string(instance.param); });

#endif

}  // namespace
}  // namespace tmx::test
