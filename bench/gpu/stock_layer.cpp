// Stock ggml's own attention on a GPU, for bench/gpu/peers.py: one dense layer over a whole prompt in ubatches, the way
// llama.cpp asks for it (f16 keys and values, f32 queries, a mask a ubatch). A process of its own, so that llama.cpp's
// CUDA libraries and PyTorch's do not meet. Prints one JSON line: the milliseconds of each round.
//
//   LD_LIBRARY_PATH=.deps/llama-build-cuda/bin build/bin/tmx_bench_stock_layer --tokens 32768 --rounds 3
#include <fmt/core.h>
#include <ggml-alloc.h>
#include <ggml-backend.h>
#include <ggml-cpp.h>
#include <ggml.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cmath>
#include <nlohmann/json.hpp>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

constexpr int64_t k_key_padding = 256;  // llama.cpp rounds the keys that it shows to attention up to this

struct layer_shape {
    int64_t n_head = 32;
    int64_t n_head_kv = 8;
    int64_t dim = 128;
    int64_t n_tokens = 32768;
    int64_t n_ubatch = 2048;
};

// Random values again and again: enough of them that no cache holds what is repeated.
void fill_random(ggml_tensor * tensor) {
    std::mt19937 source(std::random_device{}());
    std::normal_distribution<float> normal;
    std::vector<float> values(size_t{1} << 20);
    for (float & value : values) {
        value = normal(source);
    }
    std::vector<ggml_fp16_t> halves(values.size());
    ggml_fp32_to_fp16_row(values.data(), halves.data(), static_cast<int64_t>(values.size()));
    const bool half = tensor->type == GGML_TYPE_F16;
    const void * block = half ? static_cast<const void *>(halves.data()) : values.data();
    const size_t block_bytes = values.size() * (half ? sizeof(ggml_fp16_t) : sizeof(float));
    for (size_t at = 0; at < ggml_nbytes(tensor); at += block_bytes) {
        ggml_backend_tensor_set(tensor, block, at, std::min(block_bytes, ggml_nbytes(tensor) - at));
    }
}

void fill_causal(ggml_tensor * mask, int64_t first_row) {
    const ggml_fp16_t dropped = ggml_fp32_to_fp16(-INFINITY);
    std::vector<ggml_fp16_t> values(static_cast<size_t>(ggml_nelements(mask)), ggml_fp32_to_fp16(0));
    for (int64_t row = 0; row < mask->ne[1]; ++row) {
        const auto begin = values.begin() + row * mask->ne[0];
        std::fill(begin + first_row + row + 1, begin + mask->ne[0], dropped);
    }
    ggml_backend_tensor_set(mask, values.data(), 0, ggml_nbytes(mask));
}

class stock_layer {
  public:
    stock_layer(const layer_shape & s, ggml_backend_dev_t device) : backend_(ggml_backend_dev_init(device, nullptr)) {
        const int64_t n_graphs = (s.n_tokens + s.n_ubatch - 1) / s.n_ubatch;
        const size_t bytes =
            static_cast<size_t>(n_graphs) * (16 * ggml_tensor_overhead() + ggml_graph_overhead_custom(16, false));
        context_.reset(ggml_init({bytes + 16 * ggml_tensor_overhead(), nullptr, true}));
        ggml_context * c = context_.get();
        ggml_tensor * q = ggml_new_tensor_3d(c, GGML_TYPE_F32, s.dim, s.n_head, s.n_ubatch);
        ggml_tensor * k = ggml_new_tensor_3d(c, GGML_TYPE_F16, s.dim, s.n_head_kv, padded(s.n_tokens));
        ggml_tensor * v = ggml_new_tensor_3d(c, GGML_TYPE_F16, s.dim, s.n_head_kv, padded(s.n_tokens));
        std::vector<ggml_tensor *> masks;
        for (int64_t begin = 0; begin < s.n_tokens; begin += s.n_ubatch) {
            const int64_t n_rows = std::min(s.n_ubatch, s.n_tokens - begin);
            const int64_t n_keys = padded(begin + n_rows);
            masks.push_back(ggml_new_tensor_2d(c, GGML_TYPE_F16, n_keys, n_rows));
            ggml_tensor * out = ggml_flash_attn_ext(c, first(q, n_rows), first(k, n_keys), first(v, n_keys),
                                                    masks.back(), 1 / std::sqrt(static_cast<float>(s.dim)), 0, 0);
            ggml_prec_set_acc(out, GGML_PREC_F32);
            graphs_.push_back(ggml_new_graph_custom(c, 16, false));
            ggml_build_forward_expand(graphs_.back(), out);
            if (!ggml_backend_supports_op(backend_.get(), out)) {
                throw std::runtime_error("the device has no attention of this shape");
            }
        }
        buffer_.reset(ggml_backend_alloc_ctx_tensors(c, backend_.get()));
        if (buffer_ == nullptr) {
            throw std::runtime_error("not enough memory on the device");
        }
        for (ggml_tensor * tensor : {q, k, v}) {
            fill_random(tensor);
        }
        for (size_t i = 0; i < masks.size(); ++i) {
            fill_causal(masks[i], static_cast<int64_t>(i) * s.n_ubatch);
        }
    }

    // All ubatches of the prompt, one after the other.
    double milliseconds() {
        const auto start = std::chrono::steady_clock::now();
        for (ggml_cgraph * graph : graphs_) {
            if (ggml_backend_graph_compute_async(backend_.get(), graph) != GGML_STATUS_SUCCESS) {
                throw std::runtime_error("the device could not compute");
            }
        }
        ggml_backend_synchronize(backend_.get());
        return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
    }

  private:
    ggml_backend_ptr backend_;
    ggml_context_ptr context_;
    ggml_backend_buffer_ptr buffer_;
    std::vector<ggml_cgraph *> graphs_;

    static int64_t padded(int64_t n) { return (n + k_key_padding - 1) / k_key_padding * k_key_padding; }

    // [dim, heads, n] as attention takes it: [dim, its first rows, heads]
    ggml_tensor * first(ggml_tensor * t, int64_t n) {
        ggml_tensor * rows = ggml_view_3d(context_.get(), t, t->ne[0], t->ne[1], n, t->nb[1], t->nb[2], 0);
        return ggml_permute(context_.get(), rows, 0, 2, 1, 3);
    }
};

int run(const layer_shape & shape, const std::string & device_name, int rounds) {
    ggml_backend_load_all();
    ggml_backend_dev_t device = ggml_backend_dev_by_name(device_name.c_str());
    if (device == nullptr) {
        throw std::runtime_error("ggml has no device " + device_name);
    }
    stock_layer layer(shape, device);
    layer.milliseconds();  // warms up
    std::vector<double> times;
    for (int i = 0; i < rounds; ++i) {
        times.push_back(layer.milliseconds());
    }
    const nlohmann::json line = {{"device", ggml_backend_dev_description(device)},
                                 {"ggml", std::string(ggml_version()) + " (" + ggml_commit() + ")"},
                                 {"tokens", shape.n_tokens},
                                 {"ubatch", shape.n_ubatch},
                                 {"ms", times}};
    fmt::print("{}\n", line.dump());
    return 0;
}

}  // namespace

int main(int argc, char ** argv) {
    CLI::App app("Stock ggml's attention on a GPU: one dense layer over a prompt in ubatches");
    layer_shape shape;
    std::string device = "CUDA0";
    int rounds = 3;
    app.add_option("--device", device, "device of ggml")->capture_default_str();
    app.add_option("--tokens", shape.n_tokens, "length of the prompt")
        ->check(CLI::PositiveNumber)
        ->capture_default_str();
    app.add_option("--ubatch", shape.n_ubatch, "rows of one evaluation")
        ->check(CLI::PositiveNumber)
        ->capture_default_str();
    app.add_option("--heads", shape.n_head)->check(CLI::PositiveNumber)->capture_default_str();
    app.add_option("--heads-kv", shape.n_head_kv)->check(CLI::PositiveNumber)->capture_default_str();
    app.add_option("--dim", shape.dim)->check(CLI::PositiveNumber)->capture_default_str();
    app.add_option("--rounds", rounds)->check(CLI::PositiveNumber)->capture_default_str();
    CLI11_PARSE(app, argc, argv);
    try {
        return run(shape, device, rounds);
    } catch (const std::exception & error) {
        fmt::print(stderr, "tmx_bench_stock_layer: {}\n", error.what());
        return 1;
    }
}
