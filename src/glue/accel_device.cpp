#include "glue/accel_device.h"

#include <memory>
#include <new>

#include "backend/host_context.h"
#include "glue/backend_common.h"
#include "glue/cpu_claims.h"
#include "glue/cpu_nodes.h"
#include "glue/proxy/proxy_device.h"
#include "trianglemix/backend_control.h"

namespace tmx {
namespace {

// Backend: one a llama context.

struct accel_state {
    std::shared_ptr<host_context> owner = context_of_new_backend();
    cpu_nodes nodes{*owner};
};

accel_state & state_of(ggml_backend_t backend) {
    return *static_cast<accel_state *>(backend->context);
}

const char * backend_name(ggml_backend_t) noexcept {
    return TMX_BACKEND_NAME;
}

void backend_free(ggml_backend_t backend) noexcept {
    delete &state_of(backend);
    delete backend;
}

ggml_status backend_compute(ggml_backend_t backend, ggml_cgraph * graph) noexcept {
    return guarded_compute([&] {
        cpu_nodes & nodes = state_of(backend).nodes;
        nodes.forget_rows();
        for (int i = 0, n_computed = 1; i < graph->n_nodes; i += n_computed) {
            n_computed = 1;
            if (computes_nothing(graph->nodes[i])) {
                continue;
            }
            const ggml_status result = nodes.compute(graph, i, n_computed);
            if (result != GGML_STATUS_SUCCESS) {
                return result;
            }
        }
        return GGML_STATUS_SUCCESS;
    });
}

// Computing returns when it is done, so an event is over as soon as it is recorded. They exist because llama.cpp turns
// pipeline parallelism off, on the host's GPUs too, if one device of the process has no events.
void backend_event_record(ggml_backend_t, ggml_backend_event_t) noexcept {}

void backend_event_wait(ggml_backend_t, ggml_backend_event_t event) noexcept {
    // Another device's event may be pending.
    ggml_backend_event_synchronize(event);
}

constexpr ggml_backend_i k_backend_interface = {
    .get_name = c_callback(backend_name),
    .free = c_callback(backend_free),
    .set_tensor_async = nullptr,
    .get_tensor_async = nullptr,
    .set_tensor_2d_async = nullptr,
    .get_tensor_2d_async = nullptr,
    .cpy_tensor_async = nullptr,
    .synchronize = nullptr,
    .graph_plan_create = nullptr,
    .graph_plan_free = nullptr,
    .graph_plan_update = nullptr,
    .graph_plan_compute = nullptr,
    .graph_compute = c_callback(backend_compute),
    .event_record = c_callback(backend_event_record),
    .event_wait = c_callback(backend_event_wait),
    .graph_optimize = nullptr,
};

ggml_guid_t backend_guid() {
    static ggml_guid guid = {0x54, 0x72, 0x69, 0x4d, 0x69, 0x78, 0x2d, 0x63,
                             0x70, 0x75, 0x2d, 0x61, 0x63, 0x63, 0x65, 0x6c};
    return &guid;
}

// Device.

const char * device_name(ggml_backend_dev_t) noexcept {
    return TMX_BACKEND_NAME;
}

const char * device_description(ggml_backend_dev_t) noexcept {
    return "TriangleMix prompt attention on the CPU";
}

void device_memory(ggml_backend_dev_t, size_t * free, size_t * total) noexcept {
    *free = 0;  // the CPU device reports the memory
    *total = 0;
}

enum ggml_backend_dev_type device_type(ggml_backend_dev_t) noexcept {
    return GGML_BACKEND_DEVICE_TYPE_ACCEL;
}

// Since ggml 0.20 a device says whether files may be mapped for it.
void set_mmap_support(auto & caps) {
    if constexpr (requires { caps.mmap_support; }) {
        caps.mmap_support = true;
    }
}

void device_props(ggml_backend_dev_t dev, ggml_backend_dev_props * props) noexcept {
    props->name = device_name(dev);
    props->description = device_description(dev);
    props->type = device_type(dev);
    device_memory(dev, &props->memory_free, &props->memory_total);
    props->caps.async = true;
    props->caps.host_buffer = false;
    props->caps.buffer_from_host_ptr = true;
    props->caps.events = true;
    set_mmap_support(props->caps);
}

ggml_backend_t device_init(ggml_backend_dev_t dev, const char *) noexcept {
    return guarded_make([&]() -> ggml_backend_t {
        auto state = std::make_unique<accel_state>();
        auto backend = std::make_unique<ggml_backend>(
            ggml_backend{.guid = backend_guid(), .iface = k_backend_interface, .device = dev, .context = state.get()});
        static_cast<void>(state.release());
        return backend.release();
    });
}

// Where a GPU reads results next, they lie where llama.cpp has its CPU backend's: in memory that the GPU reads fast.
ggml_backend_buffer_type_t device_buffer_type(ggml_backend_dev_t) noexcept {
    const ggml_backend_buffer_type_t proxied = proxied_host_memory();
    return proxied != nullptr ? proxied : ggml_backend_cpu_buffer_type();
}

ggml_backend_buffer_t device_buffer_from_host(ggml_backend_dev_t, void * data, size_t size, size_t) noexcept {
    return ggml_backend_cpu_buffer_from_ptr(data, size);
}

bool device_supports_op(ggml_backend_dev_t, const ggml_tensor * op) noexcept {
    return guarded_make([&] { return cpu_claims(op); });
}

bool device_supports_buffer_type(ggml_backend_dev_t, ggml_backend_buffer_type_t type) noexcept {
    return ggml_backend_buft_is_host(type);
}

ggml_backend_event_t device_event_new(ggml_backend_dev_t device) noexcept {
    return new (std::nothrow) ggml_backend_event{.device = device, .context = nullptr};
}

void device_event_free(ggml_backend_dev_t, ggml_backend_event_t event) noexcept {
    delete event;
}

void device_event_synchronize(ggml_backend_dev_t, ggml_backend_event_t) noexcept {}

constexpr ggml_backend_device_i k_device_interface = {
    .get_name = c_callback(device_name),
    .get_description = c_callback(device_description),
    .get_memory = c_callback(device_memory),
    .get_type = c_callback(device_type),
    .get_props = c_callback(device_props),
    .init_backend = c_callback(device_init),
    .get_buffer_type = c_callback(device_buffer_type),
    .get_host_buffer_type = nullptr,
    .buffer_from_host_ptr = c_callback(device_buffer_from_host),
    .supports_op = c_callback(device_supports_op),
    .supports_buft = c_callback(device_supports_buffer_type),
    .offload_op = nullptr,
    .event_new = c_callback(device_event_new),
    .event_free = c_callback(device_event_free),
    .event_synchronize = c_callback(device_event_synchronize),
};

}  // namespace

ggml_backend_dev_t accel_device(ggml_backend_reg_t reg) {
    static ggml_backend_device device = {.iface = k_device_interface, .reg = reg, .context = nullptr};
    return &device;
}

void accel_set_n_threads(ggml_backend_t backend, int n_threads) noexcept {
    state_of(backend).nodes.set_n_threads(n_threads);
}

}  // namespace tmx
