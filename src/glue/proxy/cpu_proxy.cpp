#include "glue/proxy/cpu_proxy.h"

#include <algorithm>
#include <memory>
#include <vector>

#include "backend/host_context.h"
#include "backend/settings.h"
#include "ggml-cpp.h"
#include "glue/backend_common.h"
#include "glue/cpu_claims.h"
#include "glue/cpu_nodes.h"
#include "glue/graph_tensors.h"
#include "glue/proxy/proxy_device.h"
#include "trianglemix/backend_control.h"

namespace tmx {
namespace {

constexpr const char * k_name = TMX_BACKEND_NAME "CPU";

struct cpu_proxy_state {
    std::shared_ptr<host_context> owner = context_of_new_backend();
    cpu_nodes nodes{*owner};
    ggml_backend_ptr wrapped;
};

cpu_proxy_state & proxied_state(ggml_backend_t backend) {
    return *static_cast<cpu_proxy_state *>(backend->context);
}

const char * proxied_name(ggml_backend_t) noexcept {
    return k_name;
}

void proxied_free(ggml_backend_t backend) noexcept {
    delete &proxied_state(backend);
    delete backend;
}

// One graph, from its first node to its last.
class graph_run {
  public:
    graph_run(cpu_proxy_state & state, ggml_cgraph * graph) : state_(state), graph_(graph) {}

    ggml_status compute() {
        state_.nodes.attention().begin_rebuilt(graph_);
        state_.nodes.forget_rows();
        while (next_ < graph_->n_nodes) {
            const ggml_status result = compute_next();
            if (result != GGML_STATUS_SUCCESS) {
                return result;
            }
        }
        return pass_on();
    }

  private:
    ggml_status compute_next() {
        const ggml_tensor * node = graph_->nodes[next_];
        if (computes_nothing(node)) {
            ++next_;
            return GGML_STATUS_SUCCESS;
        }
        if (writes_keys(node)) {
            ++next_;
            return tells_cells(node) ? pass_on_and_learn(node) : GGML_STATUS_SUCCESS;
        }
        if (!cpu_claims(node)) {
            ++next_;
            return GGML_STATUS_SUCCESS;
        }
        ggml_status result = pass_on();
        if (result == GGML_STATUS_SUCCESS) {
            int n_computed = 1;
            result = state_.nodes.compute(graph_, next_, n_computed);
            next_ += n_computed;
            done_ = next_;
        }
        return result;
    }

    // The first write into each cache does; without a plan the order of keys is of no interest.
    bool tells_cells(const ggml_tensor * write) {
        const void * buffer = write->view_src->buffer;
        if (!ever_planned() || std::find(told_.begin(), told_.end(), buffer) != told_.end()) {
            return false;
        }
        told_.push_back(buffer);
        return true;
    }

    ggml_status pass_on_and_learn(const ggml_tensor * write) {
        const ggml_status result = pass_on();
        if (result == GGML_STATUS_SUCCESS) {
            state_.nodes.attention().observe(graph_, write);
        }
        return result;
    }

    // What lies between the last node that is done and the next one is the host's.
    ggml_status pass_on() {
        const int begin = done_;
        done_ = next_;
        if (std::all_of(graph_->nodes + begin, graph_->nodes + next_, computes_nothing)) {
            return GGML_STATUS_SUCCESS;
        }
        state_.nodes.forget_rows();
        ggml_cgraph view = nodes_of(graph_, begin, next_);
        return ggml_backend_graph_compute(state_.wrapped.get(), &view);
    }

    cpu_proxy_state & state_;
    ggml_cgraph * graph_;
    int done_ = 0;  // nodes before it are computed
    int next_ = 0;
    std::vector<const void *> told_;  // buffers of caches whose cells are known
};

ggml_status proxied_compute(ggml_backend_t backend, ggml_cgraph * graph) noexcept {
    return guarded_compute([&] { return graph_run(proxied_state(backend), graph).compute(); });
}

constexpr ggml_backend_i k_proxied_interface = {
    .get_name = c_callback(proxied_name),
    .free = c_callback(proxied_free),
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
    .graph_compute = c_callback(proxied_compute),
    .event_record = nullptr,
    .event_wait = nullptr,
    .graph_optimize = nullptr,
};

ggml_guid_t cpu_proxy_guid() {
    static ggml_guid guid = {0x54, 0x72, 0x69, 0x4d, 0x69, 0x78, 0x2d, 0x63,
                             0x70, 0x75, 0x2d, 0x70, 0x72, 0x6f, 0x78, 0x79};
    return &guid;
}

ggml_backend_t start_proxied(proxy_device & device, const char * params) noexcept {
    return guarded_make([&]() -> ggml_backend_t {
        auto state = std::make_unique<cpu_proxy_state>();
        state->wrapped.reset(ggml_backend_dev_init(device.wrapped(), params));
        if (state->wrapped == nullptr) {
            GGML_LOG_ERROR("TriangleMix: %s: the wrapped device does not start\n", k_name);
            return nullptr;
        }
        auto backend = std::make_unique<ggml_backend>(ggml_backend{
            .guid = cpu_proxy_guid(), .iface = k_proxied_interface, .device = device.handle(), .context = state.get()});
        static_cast<void>(state.release());
        return backend.release();
    });
}

}  // namespace

std::optional<proxy_candidate> cpu_proxy_candidate() {
    const ggml_backend_dev_t cpu = ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
    if (cpu == nullptr) {
        return std::nullopt;
    }
    return proxy_candidate{.device = cpu,
                           .type = GGML_BACKEND_DEVICE_TYPE_CPU,
                           .name = k_name,
                           .kernel = {},
                           .start = start_proxied,
                           .make_executor = {}};
}

bool is_cpu_proxy(ggml_backend_t backend) {
    return backend != nullptr && ggml_guid_matches(ggml_backend_guid(backend), cpu_proxy_guid());
}

void cpu_proxy_set_n_threads(ggml_backend_t backend, int n_threads) noexcept {
    cpu_proxy_state & state = proxied_state(backend);
    state.nodes.set_n_threads(n_threads);
    const ggml_backend_reg_t host = ggml_backend_dev_backend_reg(ggml_backend_get_device(state.wrapped.get()));
    const auto set = reinterpret_cast<ggml_backend_set_n_threads_t>(
        ggml_backend_reg_get_proc_address(host, "ggml_backend_set_n_threads"));
    if (set != nullptr) {
        set(state.wrapped.get(), n_threads);
    }
}

}  // namespace tmx
