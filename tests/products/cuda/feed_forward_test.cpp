// Feed-forward blocks on an NVIDIA GPU against double precision that rounds where the contract says so.
#include "trianglemix/cuda_feed_forward.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "device.h"
#include "nmse.h"
#include "number_formats.h"

namespace tmx::test {
namespace {

enum class place : uint8_t { own, over_gate, over_up };  // where the hidden rows lie

struct block_case {
    int64_t n_rows = 1;
    int64_t n_in = 8;
    int64_t n_hidden = 8;
    int64_t n_out = 8;
    int64_t padding = 0;  // elements between the rows of x, of weights (twice as many) and of out
    place hidden = place::own;
    enum class sum : uint8_t { none, apart, in_place } added = sum::none;

    std::string label() const {
        return std::to_string(n_rows) + " x " + std::to_string(n_in) + " x " + std::to_string(n_hidden) + " x " +
               std::to_string(n_out) + " padding " + std::to_string(padding) + " place " +
               std::to_string(static_cast<int>(hidden)) + " sum " + std::to_string(static_cast<int>(added));
    }
};

constexpr uint16_t k_half_nan = 0x7e00;

// Rows with NaN between them.
std::vector<uint16_t> random_weights(int64_t n_rows, int64_t n, int64_t stride, std::mt19937 & random) {
    std::normal_distribution<float> values(0, 1 / std::sqrt(static_cast<float>(n)));
    std::vector<uint16_t> weights(static_cast<size_t>(n_rows * stride), k_half_nan);
    for (int64_t row = 0; row < n_rows; ++row) {
        for (int64_t i = 0; i < n; ++i) {
            weights[static_cast<size_t>(row * stride + i)] = f32_to_f16(values(random));
        }
    }
    return weights;
}

double rounded(double value) {
    return f16_to_f32(f32_to_f16(static_cast<float>(value)));
}

double dot(const std::vector<double> & row, const std::vector<uint16_t> & weights, int64_t first) {
    double sum = 0;
    for (size_t i = 0; i < row.size(); ++i) {
        sum += row[i] * static_cast<double>(f16_to_f32(weights[static_cast<size_t>(first) + i]));
    }
    return sum;
}

class feed_forward_test : public testing::Test {
  protected:
    void SetUp() override {
        if (const std::string missing = no_device(); !missing.empty()) {
            GTEST_SKIP() << missing;
        }
        ASSERT_TRUE(cuda_feed_forward::create(0, block_).ok());
    }

    // What the device gives, twice: the same bits; and the oracle's result.
    void check(const block_case & c) {
        std::mt19937 random(17);
        std::normal_distribution<float> values(0, 1);
        const int64_t x_stride = c.n_in + c.padding;
        const int64_t in_stride = c.n_in + 2 * c.padding;
        const int64_t down_stride = c.n_hidden + 2 * c.padding;
        const int64_t out_stride = c.n_out + c.padding;
        std::vector<float> x(static_cast<size_t>(c.n_rows * x_stride), std::nanf(""));
        for (int64_t row = 0; row < c.n_rows; ++row) {
            for (int64_t i = 0; i < c.n_in; ++i) {
                x[static_cast<size_t>(row * x_stride + i)] = values(random);
            }
        }
        const std::vector<uint16_t> gate = random_weights(c.n_hidden, c.n_in, in_stride, random);
        const std::vector<uint16_t> up = random_weights(c.n_hidden, c.n_in, in_stride, random);
        const std::vector<uint16_t> down = random_weights(c.n_out, c.n_hidden, down_stride, random);

        std::vector<float> added(static_cast<size_t>(c.n_rows * out_stride));
        std::generate(added.begin(), added.end(), [&] { return values(random); });

        std::vector<double> expected;
        for (int64_t row = 0; row < c.n_rows; ++row) {
            std::vector<double> in;
            for (int64_t i = 0; i < c.n_in; ++i) {
                in.push_back(rounded(static_cast<double>(x[static_cast<size_t>(row * x_stride + i)])));
            }
            std::vector<double> hidden;
            for (int64_t i = 0; i < c.n_hidden; ++i) {
                const double a = rounded(dot(in, gate, i * in_stride));
                const double b = rounded(dot(in, up, i * in_stride));
                hidden.push_back(rounded(a / (1 + std::exp(-a)) * b));
            }
            for (int64_t i = 0; i < c.n_out; ++i) {
                const double more = c.added == block_case::sum::none
                                        ? 0
                                        : static_cast<double>(added[static_cast<size_t>(row * out_stride + i)]);
                expected.push_back(rounded(dot(hidden, down, i * down_stride)) + more);
            }
        }

        std::vector<std::vector<float>> results;
        for (int repeat = 0; repeat < 2; ++repeat) {
            const bool in_place = c.added == block_case::sum::in_place;
            std::vector<float> out = in_place ? added : std::vector<float>(added.size(), -1);
            const std::vector<float> work(static_cast<size_t>(c.n_rows * c.n_hidden), std::nanf(""));
            device_copy x_there(x.data(), x.size() * sizeof(float));
            device_copy gate_there(gate.data(), gate.size() * sizeof(uint16_t));
            device_copy up_there(up.data(), up.size() * sizeof(uint16_t));
            device_copy down_there(down.data(), down.size() * sizeof(uint16_t));
            device_copy gate_rows(work.data(), work.size() * sizeof(float));
            device_copy up_rows(work.data(),
                                work.size() * (c.hidden == place::over_up ? sizeof(float) : sizeof(uint16_t)));
            device_copy hidden(work.data(), work.size() * sizeof(float));
            device_copy out_there(out.data(), out.size() * sizeof(float));
            device_copy added_there(added.data(), added.size() * sizeof(float));
            feed_forward_args args;
            args.n_rows = c.n_rows;
            args.n_in = c.n_in;
            args.n_hidden = c.n_hidden;
            args.n_out = c.n_out;
            args.x = static_cast<const float *>(x_there.data());
            args.x_stride = x_stride;
            args.gate = gate_there.data();
            args.up = up_there.data();
            args.down = down_there.data();
            args.gate_stride = args.up_stride = in_stride;
            args.down_stride = down_stride;
            args.gate_rows = gate_rows.data();
            args.up_rows = up_rows.data();
            args.hidden =
                c.hidden == place::own ? hidden.data() : (c.hidden == place::over_gate ? gate_rows : up_rows).data();
            args.out = static_cast<float *>(out_there.data());
            args.out_stride = out_stride;
            if (c.added != block_case::sum::none) {
                args.added = static_cast<const float *>((in_place ? out_there : added_there).data());
                args.added_stride = out_stride;
            }
            ASSERT_EQ(feed_forward_declines(args), nullptr) << feed_forward_declines(args);
            const status result = block_->forward(args, nullptr);
            ASSERT_TRUE(result.ok()) << result.message();
            check_cuda(cudaDeviceSynchronize(), "the block");
            std::vector<float> rest(work.size());
            EXPECT_TRUE(gate_rows.fetch(rest.data()) && up_rows.fetch(rest.data()) && hidden.fetch(rest.data()));
            EXPECT_TRUE(out_there.fetch(out.data())) << "written beside the result";
            std::vector<float> rows;
            for (int64_t row = 0; row < c.n_rows; ++row) {
                const auto first = out.begin() + row * out_stride;
                rows.insert(rows.end(), first, first + c.n_out);
                const std::vector<float> between(first + c.n_out, first + out_stride);
                const auto was = added.begin() + row * out_stride + c.n_out;
                EXPECT_EQ(between, in_place ? std::vector<float>(was, was + c.padding)
                                            : std::vector<float>(static_cast<size_t>(c.padding), -1));
            }
            results.push_back(rows);
        }
        EXPECT_EQ(results[0], results[1]) << "the same bits";
        // cuBLAS may add in f16: ten bits, and sums of hundreds.
        EXPECT_LT(nmse(results[0], expected), 1e-4) << c.label();
    }

    std::unique_ptr<cuda_feed_forward> block_;
};

TEST_F(feed_forward_test, is_the_definition) {
    const block_case cases[] = {
        {},
        {.n_rows = 3, .n_in = 16, .n_hidden = 40, .n_out = 24, .added = block_case::sum::apart},
        {.n_rows = 64, .n_in = 128, .n_hidden = 128, .n_out = 8},
        {.n_rows = 77, .n_in = 64, .n_hidden = 200, .n_out = 72, .padding = 8, .added = block_case::sum::in_place},
        {.n_rows = 257, .n_in = 136, .n_hidden = 392, .n_out = 136, .hidden = place::over_gate},
        {.n_rows = 130, .n_in = 136, .n_hidden = 392, .n_out = 136, .padding = 16, .hidden = place::over_up},
        {.n_rows = 1000, .n_in = 64, .n_hidden = 256, .n_out = 64, .padding = 4 * 8},
    };
    for (const block_case & c : cases) {
        check(c);
    }
}

// Gates far from 0: e^-a overflows on one side and vanishes on the other.
TEST_F(feed_forward_test, large_gates) {
    const std::vector<uint16_t> weights(8 * 8, f32_to_f16(1));
    for (const float value : {-2000.0f, -20.0f, 0.0f, 20.0f, 2000.0f}) {
        const std::vector<float> x(8, value);
        const std::vector<float> work(8, 0);
        device_copy x_there(x.data(), x.size() * sizeof(float));
        device_copy weights_there(weights.data(), weights.size() * sizeof(uint16_t));
        device_copy gate_rows(work.data(), work.size() * sizeof(float));
        device_copy up_rows(work.data(), work.size() * sizeof(float));
        device_copy out_there(work.data(), work.size() * sizeof(float));
        feed_forward_args args;
        args.n_rows = 1;
        args.n_in = args.n_hidden = args.n_out = 8;
        args.x = static_cast<const float *>(x_there.data());
        args.x_stride = args.gate_stride = args.up_stride = args.down_stride = args.out_stride = 8;
        args.gate = args.up = args.down = weights_there.data();
        args.gate_rows = gate_rows.data();
        args.up_rows = args.hidden = up_rows.data();
        args.out = static_cast<float *>(out_there.data());
        ASSERT_TRUE(block_->forward(args, nullptr).ok());
        check_cuda(cudaDeviceSynchronize(), "the block");
        std::vector<float> out(8);
        EXPECT_TRUE(out_there.fetch(out.data()));
        const double a = 8 * static_cast<double>(value);
        // 256 million is no f16.
        const double expected = a > 10000 ? INFINITY : rounded(8 * rounded(a / (1 + std::exp(-a)) * a));
        EXPECT_FLOAT_EQ(out[0], static_cast<float>(expected)) << value;
    }
}

TEST(feed_forward_declines_test, says_what_is_wrong) {
    alignas(16) char memory[16];
    feed_forward_args good;
    good.n_rows = 1;
    good.n_in = good.n_hidden = good.n_out = 8;
    good.x_stride = good.gate_stride = good.up_stride = good.down_stride = good.out_stride = 8;
    good.x = reinterpret_cast<const float *>(memory);
    good.gate = good.up = good.down = good.gate_rows = good.up_rows = good.hidden = memory;
    good.out = reinterpret_cast<float *>(memory);
    EXPECT_EQ(feed_forward_declines(good), nullptr);
    const auto declined = [&](auto change) {
        feed_forward_args bad = good;
        change(bad);
        return feed_forward_declines(bad) != nullptr;
    };
    EXPECT_TRUE(declined([](feed_forward_args & a) { a.n_rows = 0; }));
    EXPECT_TRUE(declined([](feed_forward_args & a) { a.n_in = 12; }));
    EXPECT_TRUE(declined([](feed_forward_args & a) { a.n_in = a.gate_stride = a.up_stride = a.x_stride = 16; }))
        << "no room for its rows";
    EXPECT_TRUE(declined([](feed_forward_args & a) { a.x_stride = 10; }));
    EXPECT_TRUE(declined([](feed_forward_args & a) { a.down_stride = 12; }));
    EXPECT_TRUE(declined([](feed_forward_args & a) { a.out_stride = 4; }));
    EXPECT_TRUE(declined([](feed_forward_args & a) { a.n_out = a.out_stride = 16; })) << "no room for its result";
    EXPECT_TRUE(declined([](feed_forward_args & a) { a.n_hidden = int64_t{1} << 31; }));
    EXPECT_TRUE(declined([&](feed_forward_args & a) { a.gate = memory + 8; }));
    EXPECT_TRUE(declined([](feed_forward_args & a) { a.hidden = nullptr; }));
}

}  // namespace
}  // namespace tmx::test
