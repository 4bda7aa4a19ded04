// Methods that score blocks, on a GPU: their bits against the oracle and against the CPU's, the same ones in every
// call, and a call that waits for nothing.
//
// Queries are rounded to the type of keys there, and so are mean keys of "means": scores within k_rounding of each
// other may stand in either order. Methods that round neither are held to the oracle's own bounds.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <chrono>
#include <cstdint>
#include <future>
#include <limits>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "device.h"
#include "kernels/cuda/context.h"
#include "scored_expectation.h"
#include "scored_layer.h"
#include "scored_oracle.h"
#include "scored_rules.h"

namespace tmx::test {
namespace {

constexpr double k_rounding = 1e-2;
constexpr uint8_t k_selected[] = {1};

// A layer in device memory, with a work that selects in it.
class device_layer {
  public:
    device_layer(const scored_layer & layer, const asked & a, cuda_context & ctx, cudaStream_t stream = nullptr)
        : args_(layer.args),
          q_(layer.args.q, static_cast<size_t>(args_.n_batch * args_.q_stride_batch) * sizeof(float)),
          k_(layer.args.k, static_cast<size_t>(args_.n_batch * args_.k_stride_batch / block_elems(args_.k_type) *
                                               block_bytes(args_.k_type))),
          out_(std::vector<float>(static_cast<size_t>(args_.n_batch * args_.out_stride_batch)).data(),
               static_cast<size_t>(args_.n_batch * args_.out_stride_batch) * sizeof(float)) {
        args_.q = static_cast<const float *>(q_.data());
        args_.k = args_.v = k_.data();
        args_.out = static_cast<float *>(out_.data());
        attention_segment segment = layer.segment;
        segment.kept = k_no_band;
        made_ = cuda_prepare(args_, {&segment, 1}, {}, ctx, stream, work_,
                             {cuda_selector_of(a.rule, a.options.rotary), k_selected, true});
    }

    const status & made() const { return made_; }
    status forward(cuda_context & ctx, cudaStream_t stream = nullptr) {
        return cuda_attention_forward(args_, *work_, ctx, stream);
    }
    block_bitmap bits() {
        check_cuda(cudaDeviceSynchronize(), "selection");
        block_bitmap bits(work_->selected[0].shape);
        check_cuda(cudaMemcpy(bits.words.data(), work_->selected[0].bits, bits.words.size() * sizeof(uint32_t),
                              cudaMemcpyDeviceToHost),
                   "cudaMemcpy");
        return bits;
    }

  private:
    attention_args args_;
    device_copy q_, k_, out_;
    std::shared_ptr<cuda_work> work_;
    status made_;
};

class cuda_scored_test : public testing::Test {
  protected:
    void SetUp() override {
        if (const std::string missing = no_device(); !missing.empty()) {
            GTEST_SKIP() << missing;
        }
        ASSERT_TRUE(cuda_context::create(0, ctx).ok());
    }

    // The GPU's bits; empty if there are none.
    std::vector<block_bitmap> device_bits(const scored_layer & layer, const asked & a) {
        device_layer device(layer, a, *ctx);
        EXPECT_TRUE(device.made().ok()) << device.made().message();
        if (!device.made().ok()) {
            return {};
        }
        const status done = device.forward(*ctx);
        EXPECT_TRUE(done.ok()) << done.message();
        return {device.bits()};
    }

    // `n_checked` tiles, evenly spread, against the oracle.
    void check_with_oracle(const scored_layer & layer, const asked & a, const block_bitmap & bits, int64_t n_checked) {
        const bool rounds = selection_method_of(a.rule.method).name != "prism";
        const int64_t n_tiles = bits.shape.n_tiles();
        const int64_t step = std::max<int64_t>(1, n_tiles / n_checked);
        for (int64_t head = 0; head < layer.args.n_head; ++head) {
            const expected_blocks expected(layer, a, head, rounds ? k_rounding : 0);
            for (int64_t tile = n_tiles - 1; tile >= 0; tile -= step) {
                const std::vector<verdict> verdicts = expected.of_tile(tile);
                for (size_t block = 0; block < verdicts.size(); ++block) {
                    const bool kept = bits.keeps(head, tile, static_cast<int64_t>(block));
                    ASSERT_TRUE(verdicts[block] == verdict::unsure || kept == (verdicts[block] == verdict::kept))
                        << text_of(a, layer.shape) << ": head " << head << " tile " << tile << " block " << block
                        << (kept ? " is kept" : " is dropped");
                }
            }
        }
    }

    // Blocks that no row sees are never kept, mandatory ones always; of the others few differ from the CPU's.
    void check_with_cpu(const scored_layer & layer, const asked & a, const block_bitmap & bits) {
        block_bitmap cpu(bits.shape);
        const auto n_threads = static_cast<int32_t>(std::max(1u, std::thread::hardware_concurrency()));
        const status done = select_blocks(a.rule, layer.args, layer.segment, n_threads, cpu, a.options);
        ASSERT_TRUE(done.ok()) << done.message();
        int64_t n_visible = 0;
        int64_t n_different = 0;
        for (int64_t head = 0; head < bits.shape.n_head; ++head) {
            for (int64_t tile = 0; tile < bits.shape.n_tiles(); ++tile) {
                for (int64_t word = 0; word < bits.shape.n_words(); ++word) {
                    const index_range rows = bits.shape.rows_of(tile);
                    const uint32_t own = bits.of(head, tile)[word];
                    ASSERT_EQ(0u, own & ~visible_bits(rows, word)) << text_of(a, layer.shape) << " tile " << tile;
                    ASSERT_EQ(0u, mandatory_bits(rows, word) & ~own) << text_of(a, layer.shape) << " tile " << tile;
                    n_visible += std::popcount(visible_bits(rows, word));
                    n_different += std::popcount(own ^ cpu.of(head, tile)[word]);
                }
            }
        }
        EXPECT_LE(n_different, n_visible / 100 + layer.args.n_head)
            << text_of(a, layer.shape) << ": of " << n_visible << " blocks";
    }

    void check(const scored_layer & layer, const asked & a, int64_t n_checked) {
        for (const block_bitmap & bits : device_bits(layer, a)) {
            check_with_cpu(layer, a, bits);
            check_with_oracle(layer, a, bits, n_checked);
        }
    }

    std::unique_ptr<cuda_context> ctx;
};

std::vector<asked> rules(int64_t d) {
    std::vector<asked> all;
    for (const double keep : {0.0, 0.1, 0.4}) {
        for (const double reference : {0.0, 1.0}) {
            all.push_back(rule_of("means", {0.1, keep, reference}));
            all.push_back(rule_of("prism", {0.8, keep, reference}));
            all.back().options.rotary = {rotary_pairs::halves, d};
            if (keep > 0 || reference == 0) {  // the published count of blocks has a test of its own
                all.push_back(rule_of("xattention", {16, 0.8, keep, reference}));
            }
        }
    }
    all.push_back(rule_of("means", {0, 0, 0}));
    all.push_back(rule_of("means", {0.9, 0, 0}));
    all.push_back(rule_of("prism", {0, 0, 0}));
    all.push_back(rule_of("prism", {1, 0, 0}));
    all.push_back(rule_of("xattention", {16, 0, 0, 0}));
    all.push_back(rule_of("xattention", {16, 1, 0, 0}));
    for (const double stride : {4, 8, 32, 64}) {
        all.push_back(rule_of("xattention", {stride, 0.9, 0, 0}));
    }
    return all;
}

std::vector<layer_shape> shapes() {
    std::vector<layer_shape> all;
    const auto add = [&](auto change) {
        layer_shape s;
        s.seed = all.size() + 1;
        change(s);
        all.push_back(s);
    };
    for (const int64_t rank_begin : {0, 1, 128, 700, 1500}) {
        add([&](layer_shape & s) { s.rank_begin = rank_begin; });
    }
    for (const int64_t d : {16, 80, 96, 128, 256}) {
        add([&](layer_shape & s) {
            s.d = d;
            s.rank_begin = 900;
            s.k_type = d % 96 == 0 ? dtype::f16 : dtype::bf16;
        });
    }
    add([](layer_shape & s) { s.rank_begin = 5000; });
    add([](layer_shape & s) { s.n_rows = 3; });
    add([](layer_shape & s) { s.n_head = 7, s.n_head_kv = 1, s.rank_begin = 1000; });
    add([](layer_shape & s) { s.n_head = s.n_head_kv = 3, s.rank_begin = 1000; });
    add([](layer_shape & s) { s.shuffled = true, s.rank_begin = 1000; });
    add([](layer_shape & s) { s.key_begin = 33, s.row_begin = 5, s.batch = 1, s.rank_begin = 1000; });
    add([](layer_shape & s) { s.k_type = dtype::q8_0, s.rank_begin = 1000; });
    add([](layer_shape & s) { s.scale_factor = -2, s.rank_begin = 1000; });
    return all;
}

TEST_F(cuda_scored_test, keeps_what_oracle_and_cpu_keep) {
    for (const layer_shape & shape : shapes()) {
        const scored_layer layer(shape);
        for (const asked & a : rules(shape.d)) {
            check(layer, a, 2);
            if (HasFatalFailure()) {
                return;
            }
        }
    }
}

// Enough blocks for several words, chunks of mean keys and stretches of key groups; all rows at once, and the last
// ones.
TEST_F(cuda_scored_test, keeps_what_the_cpu_keeps_of_long_prompts) {
    for (const bool last : {true, false}) {
        layer_shape shape;
        shape.n_head = 2;
        shape.n_head_kv = 1;
        shape.d = 128;
        shape.k_type = last ? dtype::f16 : dtype::bf16;
        shape.rank_begin = last ? 131072 - 300 : 0;
        shape.n_rows = last ? 300 : 33000;
        const scored_layer layer(shape);
        for (const char * method : {"means", "prism", "xattention"}) {
            for (const double keep : {0.0, 0.05}) {
                asked a = rule_of(method, {});
                set_value(a.rule, "keep", keep);
                for (const block_bitmap & bits : device_bits(layer, a)) {
                    check_with_cpu(layer, a, bits);
                }
            }
        }
    }
}

// The count of the published code, which loses the sink's mark: the CPU's has a test of its own.
TEST_F(cuda_scored_test, counts_blocks_as_the_published_xattention_does) {
    layer_shape shape;
    shape.n_rows = 3000;
    const scored_layer layer(shape);
    const asked a = rule_of("xattention", {16, 0.8, 0, 1});
    for (const block_bitmap & bits : device_bits(layer, a)) {
        check_with_cpu(layer, a, bits);
    }
}

TEST_F(cuda_scored_test, keeps_all_where_a_query_is_no_number) {
    layer_shape shape;
    shape.rank_begin = 2000;
    shape.n_rows = 128 * 2;
    scored_layer layer(shape);
    std::vector<float> q(layer.args.q, layer.args.q + layer.args.n_batch * layer.args.q_stride_batch);
    q[static_cast<size_t>(130 * layer.args.q_stride_row)] = std::numeric_limits<float>::quiet_NaN();
    layer.args.q = q.data();
    for (const char * method : {"means", "prism", "xattention"}) {
        for (const block_bitmap & bits : device_bits(layer, rule_of(method, {}))) {
            for (int64_t word = 0; word < bits.shape.n_words(); ++word) {
                EXPECT_EQ(visible_bits(bits.shape.rows_of(1), word), bits.of(0, 1)[word]) << method;
            }
        }
    }
}

// A block whose keys all rows look for is kept, and of the others at most a few.
TEST_F(cuda_scored_test, finds_a_planted_block) {
    layer_shape shape;
    shape.rank_begin = 20000;
    shape.d = 128;
    scored_layer layer(shape);
    constexpr int64_t k_planted = 77;
    std::vector<float> q(static_cast<size_t>(layer.args.n_batch * layer.args.q_stride_batch));
    for (int64_t head = 0; head < shape.n_head; ++head) {
        for (int64_t row = 0; row < shape.n_rows; ++row) {
            for (int64_t i = 0; i < shape.d; ++i) {
                const double wanted = layer.key(head / 2, k_planted * 128 + row % 128, i);
                q[static_cast<size_t>(row * layer.args.q_stride_row + head * layer.args.q_stride_head + i)] =
                    static_cast<float>(4 * wanted);
            }
        }
    }
    layer.args.q = q.data();
    for (const char * method : {"means", "prism", "xattention"}) {
        for (const block_bitmap & bits : device_bits(layer, rule_of(method, {}))) {
            for (int64_t head = 0; head < shape.n_head; ++head) {
                for (int64_t tile = 0; tile < bits.shape.n_tiles(); ++tile) {
                    EXPECT_TRUE(bits.keeps(head, tile, k_planted)) << method << " head " << head << " tile " << tile;
                }
            }
            EXPECT_LT(kept_pairs(bits), shape.n_head * shape.n_rows * 20000 / 2) << method;
        }
    }
}

TEST_F(cuda_scored_test, same_bits_in_every_call) {
    layer_shape shape;
    shape.rank_begin = 3000;
    shape.n_rows = 1000;
    const scored_layer layer(shape);
    for (const char * method : {"means", "prism", "xattention"}) {
        device_layer device(layer, rule_of(method, {}), *ctx);
        ASSERT_TRUE(device.made().ok()) << device.made().message();
        ASSERT_TRUE(device.forward(*ctx).ok());
        const block_bitmap once = device.bits();
        for (int i = 0; i < 5; ++i) {
            ASSERT_TRUE(device.forward(*ctx).ok());
            EXPECT_EQ(once.words, device.bits().words) << method;
        }
    }
}

// The stream is held by a host function: a call that waited for the device would never come back.
TEST_F(cuda_scored_test, a_call_waits_for_nothing) {
    layer_shape shape;
    shape.rank_begin = 1000;
    const scored_layer layer(shape);
    for (const char * method : {"means", "prism", "xattention"}) {
        cudaStream_t stream = nullptr;
        check_cuda(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "a stream");
        device_layer device(layer, rule_of(method, {}), *ctx, stream);
        ASSERT_TRUE(device.made().ok()) << device.made().message();
        ASSERT_TRUE(device.forward(*ctx, stream).ok());  // loads the kernels
        check_cuda(cudaStreamSynchronize(stream), "the first call");
        std::atomic<bool> released{false};
        const auto hold = [](void * flag) {
            while (!static_cast<std::atomic<bool> *>(flag)->load()) {
                std::this_thread::sleep_for(std::chrono::milliseconds(1));
            }
        };
        check_cuda(cudaLaunchHostFunc(stream, hold, &released), "holding the stream");
        auto call = std::async(std::launch::async, [&] { return device.forward(*ctx, stream).ok(); });
        const bool returned = call.wait_for(std::chrono::seconds(20)) == std::future_status::ready;
        EXPECT_TRUE(returned) << method << ": the call waits for the device";
        EXPECT_EQ(cudaErrorNotReady, cudaStreamQuery(stream));
        released = true;
        EXPECT_TRUE(call.get());
        check_cuda(cudaStreamSynchronize(stream), "the held call");
        check_cuda(cudaStreamDestroy(stream), "the stream");
    }
}

}  // namespace
}  // namespace tmx::test
