#include "glue/accel_device.h"

#include <atomic>
#include <memory>
#include <new>

#include "backend/host_context.h"
#include "glue/backend_common.h"
#include "glue/cpu_evaluator.h"
#include "glue/fattn_view.h"
#include "glue/graph_tensors.h"
#include "glue/key_writes.h"
#include "glue/products/norm_evaluator.h"
#include "glue/products/norm_view.h"
#include "glue/products/product_evaluator.h"
#include "glue/products/product_view.h"
#include "trianglemix/backend_control.h"

namespace tmx {
namespace {

// Backend: one a llama context.

struct accel_state {
    std::shared_ptr<host_context> owner = context_of_new_backend();
    cpu_evaluator attention{owner->current, owner->counters};
    key_writer writer;
    product_evaluator products{owner->current, owner->counters};
    norm_evaluator norms{owner->current, owner->counters};
    int n_threads = 1;
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

// Computes the node at `index`, and counts in n_computed how many with it; one if nothing is said.
ggml_status compute_node(accel_state & state, ggml_cgraph * graph, int index, int & n_computed) {
    const ggml_tensor * node = graph->nodes[index];
    if (writes_keys(node)) {
        const ggml_status result = state.writer.compute(graph, index, state.n_threads);
        if (result == GGML_STATUS_SUCCESS) {
            state.attention.observe(graph, node);
        }
        return result;
    }
    if (is_product(node)) {
        return state.products.compute(node);
    }
    if (is_norm(node)) {
        return state.norms.compute(graph, index, n_computed);
    }
    if (node->op != GGML_OP_FLASH_ATTN_EXT) {
        GGML_LOG_ERROR("TriangleMix: asked for an operation it does not support: %s\n", ggml_op_name(node->op));
        return GGML_STATUS_FAILED;
    }
    return state.attention.compute(graph, node);
}

ggml_status backend_compute(ggml_backend_t backend, ggml_cgraph * graph) noexcept {
    return guarded_compute([&] {
        state_of(backend).products.forget_rows();
        for (int i = 0, n_computed = 1; i < graph->n_nodes; i += n_computed) {
            n_computed = 1;
            if (computes_nothing(graph->nodes[i])) {
                continue;
            }
            const ggml_status result = compute_node(state_of(backend), graph, i, n_computed);
            if (result != GGML_STATUS_SUCCESS) {
                return result;
            }
            if (!is_product(graph->nodes[i])) {
                state_of(backend).products.forget_rows();
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

ggml_backend_buffer_type_t device_buffer_type(ggml_backend_dev_t) noexcept {
    return ggml_backend_cpu_buffer_type();
}

ggml_backend_buffer_t device_buffer_from_host(ggml_backend_dev_t, void * data, size_t size, size_t) noexcept {
    return ggml_backend_cpu_buffer_from_ptr(data, size);
}

void warn_flash_attention_is_off() {
    static std::atomic_flag warned;
    if (!warned.test_and_set()) {
        GGML_LOG_WARN(
            "TriangleMix: flash attention is off in this context (-fa off, or -fa auto with very many slots), so its "
            "prompts are left to the host; start it with -fa on\n");
    }
}

// A layer of the plan that is not claimed never comes to an evaluator, so it can only be named here.
void warn_declined(const ggml_tensor * op, decline_reason reason, const settings & current) {
    static std::atomic<uint32_t> said;  // a bit a reason
    const uint32_t bit = uint32_t{1} << static_cast<uint32_t>(reason);
    if (reason == decline_reason::rows || reason == decline_reason::disabled || (said.load() & bit) != 0) {
        return;
    }
    const std::shared_ptr<const plan> chosen = current.snapshot().chosen;
    const auto layer = static_cast<size_t>(layer_of_keys(op->src[1]));  // far beyond any plan if it is not known
    if (chosen != nullptr && layer < chosen->layers.size() && chosen->layers[layer] != layer_plan{} &&
        (said.fetch_or(bit) & bit) == 0) {
        GGML_LOG_WARN(
            "TriangleMix: %s layer %zu of plan %s is left to the host: %s (docs/backend.md). From now on this is "
            "only counted\n",
            chosen->layers[layer].kind == layer_kind::triangle ? "triangle" : "dynamic", layer, chosen->name.c_str(),
            to_string(reason));
    }
}

bool claims_product(const ggml_tensor * op, const settings & current) {
    if (!current.enabled() || !current.products().take_any()) {
        return false;
    }
    auto reason = why_product_declined(op, current.products());
    if (!reason && has_gpu()) {
        reason = product_decline::gpu;
    }
    if (reason) {
        process_statistics().count_declined_product(*reason);
    }
    return !reason;
}

// Norms are taken where products are: between them they cost the host a piece of graph of its own.
bool claims_norm(const ggml_tensor * op, const settings & current) {
    if (!current.enabled() || !current.products().take_any()) {
        return false;
    }
    auto reason = why_norm_declined(op, current.products().least_rows());
    if (!reason && has_gpu()) {
        reason = norm_decline::gpu;
    }
    if (reason) {
        process_statistics().count_declined_norm(*reason);
    }
    return !reason;
}

bool supports(const ggml_tensor * op) {
    const settings & current = process_settings();
    if (is_view(op)) {
        return current.enabled();
    }
    switch (op->op) {
        case GGML_OP_FLASH_ATTN_EXT: {
            const auto reason =
                current.enabled() ? why_declined(op, current.min_rows()) : std::optional(decline_reason::disabled);
            if (reason) {
                process_statistics().count_declined(*reason);
                warn_declined(op, *reason, current);
            }
            return !reason;
        }
        case GGML_OP_MUL_MAT:
        case GGML_OP_MUL_MAT_ID:
            return claims_product(op, current);
        case GGML_OP_RMS_NORM:
        case GGML_OP_MUL:
            return is_norm(op) && claims_norm(op, current);
        case GGML_OP_SOFT_MAX:
            if (current.enabled() && softmax_without_flash(op, current.min_rows())) {
                process_statistics().count_declined(decline_reason::no_flash);
                warn_flash_attention_is_off();
            }
            return false;
        case GGML_OP_SET_ROWS:
            return current.enabled() && ever_planned() && claims_key_write(op);
        default:
            return false;
    }
}

bool device_supports_op(ggml_backend_dev_t, const ggml_tensor * op) noexcept {
    return guarded_make([&] { return supports(op); });
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
    state_of(backend).n_threads = n_threads;
    state_of(backend).attention.set_n_threads(n_threads);
    state_of(backend).products.set_n_threads(n_threads);
    state_of(backend).norms.set_n_threads(n_threads);
}

}  // namespace tmx
