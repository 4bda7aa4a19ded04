#include "stock.h"

#include <fmt/core.h>
#include <ggml-alloc.h>
#include <ggml-backend.h>
#include <ggml.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <mutex>
#include <string_view>
#include <vector>

#include "commit/commit_name.h"
#include "number_formats.h"
#include "timer.h"

namespace tmx::bench {
namespace {

struct deleters {
    void operator()(ggml_context * context) const { ggml_free(context); }
    void operator()(ggml_backend * backend) const { ggml_backend_free(backend); }
    void operator()(ggml_backend_buffer * buffer) const { ggml_backend_buffer_free(buffer); }
};
using context_ptr = std::unique_ptr<ggml_context, deleters>;
using backend_ptr = std::unique_ptr<ggml_backend, deleters>;
using buffer_ptr = std::unique_ptr<ggml_backend_buffer, deleters>;

constexpr int64_t k_key_padding = 256;  // llama.cpp rounds the keys it shows to attention up to this

}  // namespace

struct stock_layer::state {
    struct part {
        ggml_cgraph * graph = nullptr;
        ggml_tensor * mask = nullptr;  // [n_kv, rows] f16
        int64_t row_begin = 0;
        int64_t row_end = 0;
        int64_t n_kv = 0;
    };

    // Freed in reverse order: buffers before the backend that made them.
    backend_ptr backend;
    context_ptr context;
    std::vector<buffer_ptr> buffers;
    ggml_tensor * mask_memory = nullptr;  // as large as the largest part's mask; all parts share it
    std::vector<part> parts;
    std::vector<float> out;

    // A tensor over memory that is ours: no copy, and both rivals read the same bytes.
    ggml_tensor * wrap(ggml_type type, int64_t dim, int64_t n_head, int64_t n, void * memory) {
        ggml_tensor * tensor = ggml_new_tensor_3d(context.get(), type, dim, n_head, n);
        const size_t bytes = ggml_nbytes(tensor);
        buffers.emplace_back(
            ggml_backend_dev_buffer_from_host_ptr(ggml_backend_get_device(backend.get()), memory, bytes, bytes));
        const bool placed = buffers.back() != nullptr &&
                            ggml_backend_tensor_alloc(buffers.back().get(), tensor, memory) == GGML_STATUS_SUCCESS;
        return placed ? tensor : nullptr;
    }

    void fill_mask(const part & p) {
        const uint16_t kept = test::f32_to_f16(0);
        const uint16_t dropped = test::f32_to_f16(-INFINITY);
        std::vector<uint16_t> row(static_cast<size_t>(p.n_kv));
        for (int64_t r = p.row_begin; r < p.row_end; ++r) {
            std::fill(row.begin(), row.begin() + r + 1, kept);
            std::fill(row.begin() + r + 1, row.end(), dropped);
            ggml_backend_tensor_set(p.mask, row.data(), static_cast<size_t>(r - p.row_begin) * p.mask->nb[1],
                                    row.size() * sizeof(uint16_t));
        }
    }
};

stock_layer::stock_layer(std::unique_ptr<state> s) : state_(std::move(s)) {}
stock_layer::~stock_layer() = default;

std::unique_ptr<stock_layer> stock_layer::create(const std::string & folder, layer_data & data, int64_t ubatch,
                                                 int n_threads, std::string & error) {
    static std::once_flag loaded;
    std::call_once(loaded, [&] { ggml_backend_load_all_from_path(folder.c_str()); });
    auto s = std::make_unique<state>();
    s->backend.reset(ggml_backend_init_by_type(GGML_BACKEND_DEVICE_TYPE_CPU, nullptr));
    if (s->backend == nullptr) {
        error = fmt::format("no ggml CPU backend in {}; is this the bin folder of a llama.cpp build?", folder);
        return nullptr;
    }
    ggml_backend_reg_t registry = ggml_backend_dev_backend_reg(ggml_backend_get_device(s->backend.get()));
    const auto set_n_threads = reinterpret_cast<ggml_backend_set_n_threads_t>(
        ggml_backend_reg_get_proc_address(registry, "ggml_backend_set_n_threads"));
    if (set_n_threads == nullptr) {
        error = "ggml's CPU backend does not let its threads be set";
        return nullptr;
    }
    set_n_threads(s->backend.get(), n_threads);

    const layer_shape & shape = data.shape;
    const int64_t step = ubatch > 0 ? std::min(ubatch, data.n) : data.n;
    const auto n_parts = static_cast<size_t>((data.n + step - 1) / step);
    const size_t graph_bytes = ggml_graph_overhead_custom(16, false);
    s->context.reset(ggml_init(
        {n_parts * (graph_bytes + 16 * ggml_tensor_overhead()) + 16 * ggml_tensor_overhead(), nullptr, true}));
    ggml_context * context = s->context.get();
    s->out.resize(data.out.size());
    ggml_tensor * q = s->wrap(GGML_TYPE_F32, shape.dim, shape.n_head, data.n, data.q.data());
    ggml_tensor * k = s->wrap(GGML_TYPE_F16, shape.dim, shape.n_head_kv, data.n, data.k.data());
    ggml_tensor * v = s->wrap(GGML_TYPE_F16, shape.dim, shape.n_head_kv, data.n, data.v.data());
    if (q == nullptr || k == nullptr || v == nullptr) {
        error = "ggml's CPU backend refused the benchmark's memory";
        return nullptr;
    }
    const auto padded = [&](int64_t row_end) {
        return std::min((row_end + k_key_padding - 1) / k_key_padding * k_key_padding, data.n);
    };
    s->mask_memory = ggml_new_tensor_2d(context, GGML_TYPE_F16, data.n, step);
    // llama.cpp makes these views: tokens before heads in memory, heads before tokens for the operator.
    const auto view_rows = [&](ggml_tensor * tensor, int64_t begin, int64_t end) {
        return ggml_permute(context,
                            ggml_view_3d(context, tensor, tensor->ne[0], tensor->ne[1], end - begin, tensor->nb[1],
                                         tensor->nb[2], static_cast<size_t>(begin) * tensor->nb[2]),
                            0, 2, 1, 3);
    };
    for (int64_t begin = 0; begin < data.n; begin += step) {
        state::part p;
        p.row_begin = begin;
        p.row_end = std::min(begin + step, data.n);
        p.n_kv = padded(p.row_end);
        p.mask = ggml_view_2d(context, s->mask_memory, p.n_kv, p.row_end - begin,
                              static_cast<size_t>(p.n_kv) * sizeof(uint16_t), 0);
        ggml_tensor * result =
            ggml_flash_attn_ext(context, view_rows(q, p.row_begin, p.row_end), view_rows(k, 0, p.n_kv),
                                view_rows(v, 0, p.n_kv), p.mask, 1.0f / std::sqrt(static_cast<float>(shape.dim)), 0, 0);
        p.graph = ggml_new_graph_custom(context, 16, false);
        ggml_build_forward_expand(p.graph, result);
        s->parts.push_back(p);
    }
    s->buffers.emplace_back(ggml_backend_alloc_ctx_tensors(context, s->backend.get()));
    if (s->buffers.back() == nullptr) {
        error = "no memory for ggml's masks and outputs; try --stock-ubatch 2048";
        return nullptr;
    }
    return std::unique_ptr<stock_layer>(new stock_layer(std::move(s)));
}

double stock_layer::run() {
    double seconds = 0;
    const size_t row_bytes = state_->out.size() * sizeof(float) / static_cast<size_t>(state_->parts.back().row_end);
    for (const state::part & p : state_->parts) {
        state_->fill_mask(p);
        const double begin = wall_seconds();
        if (ggml_backend_graph_compute(state_->backend.get(), p.graph) != GGML_STATUS_SUCCESS) {
            return -1;
        }
        seconds += wall_seconds() - begin;
        ggml_backend_tensor_get(
            ggml_graph_node(p.graph, -1),
            reinterpret_cast<char *>(state_->out.data()) + static_cast<size_t>(p.row_begin) * row_bytes, 0,
            static_cast<size_t>(p.row_end - p.row_begin) * row_bytes);
    }
    return seconds;
}

std::span<const float> stock_layer::output() const {
    return state_->out;
}

std::string stock_layer::version() {
    const std::string_view commit = without_mark(ggml_commit());  // sources from an archive look edited to git
    return fmt::format("ggml {} ({})", ggml_version(), commit);
}

}  // namespace tmx::bench
