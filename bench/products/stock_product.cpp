#include "stock_product.h"

#include <ggml-alloc.h>

#include <utility>

namespace tmx::bench {
namespace {

struct deleters {
    void operator()(ggml_context * context) const { ggml_free(context); }
    void operator()(ggml_backend * backend) const { ggml_backend_free(backend); }
    void operator()(ggml_backend_buffer * buffer) const { ggml_backend_buffer_free(buffer); }
};

}  // namespace

struct stock_product::state {
    // Freed in reverse order: the buffer before the backend that made it.
    std::unique_ptr<ggml_backend, deleters> backend;
    std::unique_ptr<ggml_context, deleters> context;
    std::unique_ptr<ggml_backend_buffer, deleters> buffer;
    ggml_tensor * weights = nullptr;
    ggml_tensor * rows = nullptr;
    ggml_cgraph * graph = nullptr;
};

stock_product::stock_product(std::unique_ptr<state> s) : state_(std::move(s)) {}
stock_product::~stock_product() = default;

std::unique_ptr<stock_product> stock_product::create(const product_shape & shape, ggml_type type, int n_threads) {
    auto s = std::make_unique<state>();
    s->backend.reset(ggml_backend_init_by_type(GGML_BACKEND_DEVICE_TYPE_CPU, nullptr));
    if (s->backend == nullptr) {
        return nullptr;
    }
    ggml_backend_reg_t registry = ggml_backend_dev_backend_reg(ggml_backend_get_device(s->backend.get()));
    const auto set_n_threads = reinterpret_cast<ggml_backend_set_n_threads_t>(
        ggml_backend_reg_get_proc_address(registry, "ggml_backend_set_n_threads"));
    if (set_n_threads != nullptr) {
        set_n_threads(s->backend.get(), n_threads);
    }
    constexpr size_t k_nodes = 8;
    s->context.reset(
        ggml_init({k_nodes * ggml_tensor_overhead() + ggml_graph_overhead_custom(k_nodes, false), nullptr, true}));
    ggml_context * context = s->context.get();
    s->weights = ggml_new_tensor_2d(context, type, shape.depth, shape.n_columns);
    s->rows = ggml_new_tensor_2d(context, GGML_TYPE_F32, shape.depth, shape.n_rows);
    s->graph = ggml_new_graph_custom(context, k_nodes, false);
    ggml_build_forward_expand(s->graph, ggml_mul_mat(context, s->weights, s->rows));
    s->buffer.reset(ggml_backend_alloc_ctx_tensors(context, s->backend.get()));
    return s->buffer != nullptr ? std::unique_ptr<stock_product>(new stock_product(std::move(s))) : nullptr;
}

std::span<uint8_t> stock_product::weights() {
    return {static_cast<uint8_t *>(state_->weights->data), ggml_nbytes(state_->weights)};
}

std::span<float> stock_product::rows() {
    return {static_cast<float *>(state_->rows->data), static_cast<size_t>(ggml_nelements(state_->rows))};
}

bool stock_product::run() {
    return ggml_backend_graph_compute(state_->backend.get(), state_->graph) == GGML_STATUS_SUCCESS;
}

std::span<const float> stock_product::output() const {
    const ggml_tensor * result = ggml_graph_node(state_->graph, -1);
    return {static_cast<const float *>(result->data), static_cast<size_t>(ggml_nelements(result))};
}

}  // namespace tmx::bench
