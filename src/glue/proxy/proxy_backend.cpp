// The backend interface of a proxy: everything is the wrapped backend's, but for graphs.
#include <algorithm>
#include <memory>
#include <new>

#include "backend/host_context.h"
#include "ggml-cpp.h"
#include "glue/backend_common.h"
#include "glue/buffers/cache_writes.h"
#include "glue/buffers/late_masks.h"
#include "glue/proxy/proxy_device.h"
#include "glue/proxy/proxy_evaluator.h"

namespace tmx {
namespace {

struct proxy_state {
    std::shared_ptr<host_context> owner = context_of_new_backend();
    ggml_backend_t wrapped = nullptr;
    std::unique_ptr<proxy_evaluator> graphs;
    std::string name;

    ~proxy_state() {
        graphs.reset();  // waits for its own work, which reads the wrapped backend's memory
        ggml_backend_free(wrapped);
    }
};

proxy_state & state_of(ggml_backend_t backend) {
    return *static_cast<proxy_state *>(backend->context);
}

ggml_backend_t wrapped_of(ggml_backend_t backend) {
    return state_of(backend).wrapped;
}

const char * backend_name(ggml_backend_t backend) noexcept {
    return state_of(backend).name.c_str();
}

void backend_free(ggml_backend_t backend) noexcept {
    delete &state_of(backend);
    delete backend;
}

void backend_set_async(ggml_backend_t backend, ggml_tensor * tensor, const void * data, size_t offset,
                       size_t size) noexcept {
    const ggml_backend_t wrapped = wrapped_of(backend);
    note_host_write(tensor, data, offset, size);
    wrapped->iface.set_tensor_async(wrapped, tensor, data, offset, size);
}

void backend_get_async(ggml_backend_t backend, const ggml_tensor * tensor, void * data, size_t offset,
                       size_t size) noexcept {
    const ggml_backend_t wrapped = wrapped_of(backend);
    send_mask_of(tensor);
    wrapped->iface.get_tensor_async(wrapped, tensor, data, offset, size);
}

void backend_set_2d_async(ggml_backend_t backend, ggml_tensor * tensor, const void * data, size_t offset, size_t size,
                          size_t n_copies, size_t stride_tensor, size_t stride_data) noexcept {
    const ggml_backend_t wrapped = wrapped_of(backend);
    note_host_write(tensor, nullptr, offset, size + (n_copies > 0 ? n_copies - 1 : 0) * stride_tensor);
    wrapped->iface.set_tensor_2d_async(wrapped, tensor, data, offset, size, n_copies, stride_tensor, stride_data);
}

void backend_get_2d_async(ggml_backend_t backend, const ggml_tensor * tensor, void * data, size_t offset, size_t size,
                          size_t n_copies, size_t stride_tensor, size_t stride_data) noexcept {
    const ggml_backend_t wrapped = wrapped_of(backend);
    send_mask_of(tensor);
    wrapped->iface.get_tensor_2d_async(wrapped, tensor, data, offset, size, n_copies, stride_tensor, stride_data);
}

// ggml asks the target's backend. Either end may be a proxy; the wrapped backends know each other only by themselves.
bool backend_copy_async(ggml_backend_t from, ggml_backend_t to, const ggml_tensor * source,
                        ggml_tensor * target) noexcept {
    const ggml_backend_t wrapped = unwrapped(to);
    send_mask_of(source);
    const bool copied = wrapped->iface.cpy_tensor_async(unwrapped(from), wrapped, source, target);
    if (copied) {
        note_host_write(target, nullptr, 0, ggml_nbytes(target));
    }
    return copied;
}

void backend_synchronize(ggml_backend_t backend) noexcept {
    state_of(backend).graphs->synchronize();
}

ggml_status backend_compute(ggml_backend_t backend, ggml_cgraph * graph) noexcept {
    return guarded_compute([&] { return state_of(backend).graphs->compute(graph); });
}

void backend_event_record(ggml_backend_t backend, ggml_backend_event_t event) noexcept {
    const ggml_backend_t wrapped = wrapped_of(backend);
    wrapped->iface.event_record(wrapped, event);
}

void backend_event_wait(ggml_backend_t backend, ggml_backend_event_t event) noexcept {
    const ggml_backend_t wrapped = wrapped_of(backend);
    wrapped->iface.event_wait(wrapped, event);
}

// Since ggml 0.22 with parameters behind the graph.
template <typename... parameters>
void backend_graph_optimize(ggml_backend_t backend, ggml_cgraph * graph, parameters... rest) noexcept {
    const ggml_backend_t wrapped = wrapped_of(backend);
    wrapped->iface.graph_optimize(wrapped, graph, rest...);
}

template <typename... parameters>
auto graph_optimize_like(void (*theirs)(ggml_backend_t, ggml_cgraph *, parameters...)) {
    return theirs != nullptr ? c_callback(&backend_graph_optimize<parameters...>) : nullptr;
}

// What the wrapped backend leaves out, ours leaves out: ggml tells by the null pointer.
ggml_backend_i interface_like(const ggml_backend_i & wrapped) {
    const auto like = [](auto theirs, auto ours) { return theirs != nullptr ? c_callback(ours) : nullptr; };
    return {
        .get_name = c_callback(backend_name),
        .free = c_callback(backend_free),
        .set_tensor_async = like(wrapped.set_tensor_async, &backend_set_async),
        .get_tensor_async = like(wrapped.get_tensor_async, &backend_get_async),
        .set_tensor_2d_async = like(wrapped.set_tensor_2d_async, &backend_set_2d_async),
        .get_tensor_2d_async = like(wrapped.get_tensor_2d_async, &backend_get_2d_async),
        .cpy_tensor_async = like(wrapped.cpy_tensor_async, &backend_copy_async),
        .synchronize = like(wrapped.synchronize, &backend_synchronize),
        // A plan would take its graph past our attention.
        .graph_plan_create = nullptr,
        .graph_plan_free = nullptr,
        .graph_plan_update = nullptr,
        .graph_plan_compute = nullptr,
        .graph_compute = c_callback(backend_compute),
        .event_record = like(wrapped.event_record, &backend_event_record),
        .event_wait = like(wrapped.event_wait, &backend_event_wait),
        .graph_optimize = graph_optimize_like(wrapped.graph_optimize),
    };
}

ggml_guid_t proxy_guid() {
    static ggml_guid guid = {0x54, 0x72, 0x69, 0x4d, 0x69, 0x78, 0x2d, 0x67,
                             0x70, 0x75, 0x2d, 0x70, 0x72, 0x6f, 0x78, 0x79};
    return &guid;
}

std::unique_ptr<attention_executor> executor_of(const proxy_device & device) {
    std::unique_ptr<attention_executor> executor;
    if (device.candidate().make_executor == nullptr) {
        return nullptr;  // nothing is computed here
    }
    const status made = device.candidate().make_executor(executor);
    if (!made.ok()) {
        GGML_LOG_ERROR("TriangleMix: %s: no attention kernel here, everything is left to the wrapped device: %s\n",
                       device.candidate().name.c_str(), made.message());
        return nullptr;
    }
    return executor;
}

}  // namespace

bool is_proxy(ggml_backend_t backend) {
    return backend != nullptr && ggml_guid_matches(ggml_backend_guid(backend), proxy_guid());
}

ggml_backend_t unwrapped(ggml_backend_t backend) {
    return is_proxy(backend) ? wrapped_of(backend) : backend;
}

void proxy_join(ggml_backend_t backend, const std::shared_ptr<split_group> & group, size_t device) {
    if (is_proxy(backend)) {
        state_of(backend).graphs->join(group, device);
    }
}

void proxy_set_n_threads(ggml_backend_t backend, int n_threads) noexcept {
    state_of(backend).graphs->set_n_threads(n_threads);
}

ggml_backend_t proxy_backend(proxy_device & device, const char * params) noexcept {
    return guarded_make([&]() -> ggml_backend_t {
        ggml_backend_ptr wrapped(ggml_backend_dev_init(device.wrapped(), params));
        if (wrapped == nullptr) {
            GGML_LOG_ERROR("TriangleMix: %s: the wrapped device does not start\n", device.candidate().name.c_str());
            return nullptr;
        }
        auto state = std::make_unique<proxy_state>();
        state->wrapped = wrapped.release();
        state->name = device.candidate().name;
        state->graphs = std::make_unique<proxy_evaluator>(device.candidate().name, state->wrapped, executor_of(device),
                                                          state->owner->current, state->owner->counters,
                                                          device.limits(), device.scratch());
        auto backend = std::make_unique<ggml_backend>(ggml_backend{.guid = proxy_guid(),
                                                                   .iface = interface_like(state->wrapped->iface),
                                                                   .device = device.handle(),
                                                                   .context = state.get()});
        static_cast<void>(state.release());
        return backend.release();
    });
}

}  // namespace tmx
