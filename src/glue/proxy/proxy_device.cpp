#include "glue/proxy/proxy_device.h"

#include <algorithm>
#include <utility>

#include "ggml-cpp.h"
#include "glue/backend_common.h"
#include "glue/buffers/cache_writes.h"

namespace tmx {
namespace {

// Buffer type.

ggml_backend_buffer_type_t wrapped_type(ggml_backend_buffer_type_t type) {
    return static_cast<ggml_backend_buffer_type_t>(type->context);
}

const char * type_name(ggml_backend_buffer_type_t type) noexcept {
    return proxy_device::of(type->device).candidate().name.c_str();
}

// Null where it cannot be watched.
ggml_backend_buffer_t watched(ggml_backend_buffer_type_t type, ggml_backend_buffer_ptr buffer) {
    const bool good = buffer == nullptr || watch_cache_writes(buffer.get(), proxy_device::of(type->device).patience());
    return good ? buffer.release() : nullptr;
}

ggml_backend_buffer_t type_alloc(ggml_backend_buffer_type_t type, size_t size) noexcept {
    // One that cannot be watched would hide what is written to it, so then there is none.
    ggml_backend_buffer_ptr buffer(ggml_backend_buft_alloc_buffer(wrapped_type(type), size));
    return watched(type, std::move(buffer));
}

#if GGML_BACKEND_API_VERSION >= 3
// As type_alloc(), for all tensors of a list, which some devices place in a way of their own.
ggml_backend_buffer_t type_alloc_list(ggml_backend_buffer_type_t type, ggml_tensor ** tensors, int n) noexcept {
    ggml_backend_buffer_ptr buffer(ggml_backend_buft_alloc_buffer_n(wrapped_type(type), tensors, n));
    return watched(type, std::move(buffer));
}

size_t type_alloc_size_of_list(ggml_backend_buffer_type_t type, ggml_tensor ** tensors, int n) noexcept {
    return ggml_backend_buft_get_alloc_size_n(wrapped_type(type), tensors, n);
}
#endif

size_t type_alignment(ggml_backend_buffer_type_t type) noexcept {
    return ggml_backend_buft_get_alignment(wrapped_type(type));
}

size_t type_max_size(ggml_backend_buffer_type_t type) noexcept {
    return ggml_backend_buft_get_max_size(wrapped_type(type));
}

size_t type_alloc_size(ggml_backend_buffer_type_t type, const ggml_tensor * tensor) noexcept {
    return ggml_backend_buft_get_alloc_size(wrapped_type(type), tensor);
}

bool type_is_host(ggml_backend_buffer_type_t type) noexcept {
    return ggml_backend_buft_is_host(wrapped_type(type));
}

constexpr ggml_backend_buffer_type_i k_type_interface = {
    .get_name = c_callback(type_name),
    .alloc_buffer = c_callback(type_alloc),
#if GGML_BACKEND_API_VERSION >= 3
    .alloc_buffer_n = c_callback(type_alloc_list),
#endif
    .get_alignment = c_callback(type_alignment),
    .get_max_size = c_callback(type_max_size),
    .get_alloc_size = c_callback(type_alloc_size),
#if GGML_BACKEND_API_VERSION >= 3
    .get_alloc_size_n = c_callback(type_alloc_size_of_list),
#endif
    .is_host = c_callback(type_is_host),
};

ggml_backend_buffer_type_t unwrapped_type(ggml_backend_buffer_type_t type) {
    return type->iface.get_name == type_name ? wrapped_type(type) : type;
}

// Device.

ggml_backend_dev_t wrapped_of(ggml_backend_dev_t device) {
    return proxy_device::of(device).wrapped();
}

const char * device_name(ggml_backend_dev_t device) noexcept {
    return proxy_device::of(device).candidate().name.c_str();
}

const char * device_description(ggml_backend_dev_t device) noexcept {
    return proxy_device::of(device).description().c_str();
}

// What our kernels may still take is not free for the host's buffers. What they hold is missing from the wrapped
// device's figure already.
void device_memory(ggml_backend_dev_t device, size_t * free, size_t * total) noexcept {
    ggml_backend_dev_memory(wrapped_of(device), free, total);
    proxy_device & self = proxy_device::of(device);
    const int64_t held = self.scratch().load(std::memory_order_relaxed);
    const int64_t allowed = self.limits().scratch.allows(static_cast<int64_t>(*free), held);
    *free -= std::min(*free, static_cast<size_t>(std::max(allowed - held, int64_t{0})));
}

enum ggml_backend_dev_type device_type(ggml_backend_dev_t device) noexcept {
    return proxy_device::of(device).candidate().type;
}

void device_props(ggml_backend_dev_t device, ggml_backend_dev_props * props) noexcept {
    ggml_backend_dev_get_props(wrapped_of(device), props);
    device_memory(device, &props->memory_free, &props->memory_total);
    props->name = device_name(device);
    props->description = device_description(device);
    props->type = device_type(device);
}

ggml_backend_t device_init(ggml_backend_dev_t device, const char * params) noexcept {
    return proxy_device::of(device).candidate().start(proxy_device::of(device), params);
}

ggml_backend_buffer_type_t device_buffer_type(ggml_backend_dev_t device) noexcept {
    return proxy_device::of(device).buffer_type();
}

ggml_backend_buffer_type_t device_host_buffer_type(ggml_backend_dev_t device) noexcept {
    return ggml_backend_dev_host_buffer_type(wrapped_of(device));
}

ggml_backend_buffer_t device_buffer_from_host(ggml_backend_dev_t device, void * data, size_t size,
                                              size_t max_tensor) noexcept {
    return ggml_backend_dev_buffer_from_host_ptr(wrapped_of(device), data, size, max_tensor);
}

bool device_supports_op(ggml_backend_dev_t device, const ggml_tensor * op) noexcept {
    return ggml_backend_dev_supports_op(wrapped_of(device), op);
}

bool device_supports_buffer_type(ggml_backend_dev_t device, ggml_backend_buffer_type_t type) noexcept {
    return ggml_backend_dev_supports_buft(wrapped_of(device), unwrapped_type(type));
}

bool device_offload_op(ggml_backend_dev_t device, const ggml_tensor * op) noexcept {
    return ggml_backend_dev_offload_op(wrapped_of(device), op);
}

// Events name the wrapped device as theirs, so ggml frees them and waits for them there.
ggml_backend_event_t device_event_new(ggml_backend_dev_t device) noexcept {
    return ggml_backend_event_new(wrapped_of(device));
}

// What the wrapped device leaves out, ours leaves out: ggml tells by the null pointer.
ggml_backend_device_i interface_like(const ggml_backend_device_i & wrapped) {
    return {
        .get_name = c_callback(device_name),
        .get_description = c_callback(device_description),
        .get_memory = c_callback(device_memory),
        .get_type = c_callback(device_type),
        .get_props = c_callback(device_props),
        .init_backend = c_callback(device_init),
        .get_buffer_type = c_callback(device_buffer_type),
        .get_host_buffer_type = wrapped.get_host_buffer_type != nullptr ? c_callback(device_host_buffer_type) : nullptr,
        .buffer_from_host_ptr = wrapped.buffer_from_host_ptr != nullptr ? c_callback(device_buffer_from_host) : nullptr,
        .supports_op = c_callback(device_supports_op),
        .supports_buft = c_callback(device_supports_buffer_type),
        .offload_op = wrapped.offload_op != nullptr ? c_callback(device_offload_op) : nullptr,
        .event_new = wrapped.event_new != nullptr ? c_callback(device_event_new) : nullptr,
        .event_free = wrapped.event_free,
        .event_synchronize = wrapped.event_synchronize,
    };
}

}  // namespace

proxy_device::proxy_device(ggml_backend_reg_t reg, proxy_candidate candidate, proxy_limits limits)
    : candidate_(std::move(candidate)),
      limits_(limits),
      description_(std::string(ggml_backend_dev_description(candidate_.device)) +
                   ", prompt attention by TriangleMix (" + ggml_backend_dev_name(candidate_.device) + ")"),
      device_{.iface = interface_like(candidate_.device->iface), .reg = reg, .context = this},
      buffer_type_{
          .iface = k_type_interface, .device = &device_, .context = ggml_backend_dev_buffer_type(candidate_.device)} {}

ggml_backend_buffer_type_t proxied_host_memory() {
    for (size_t i = 0; i < ggml_backend_dev_count(); ++i) {
        ggml_backend_dev_t device = ggml_backend_dev_get(i);
        if (device->iface.get_name == device_name) {
            if (const ggml_backend_buffer_type_t memory = ggml_backend_dev_host_buffer_type(wrapped_of(device))) {
                return memory;
            }
        }
    }
    return nullptr;
}

}  // namespace tmx
