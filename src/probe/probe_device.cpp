#include "probe/probe_device.h"

#include "runtime/failure.h"

namespace tmx {
namespace {

// By the bus address that ggml tells, which a device in front of another one has from it.
std::unique_ptr<probe_attention> attention_on(ggml_backend_dev_t device) {
    ggml_backend_dev_props props{};
    ggml_backend_dev_get_props(device, &props);
    return props.device_id != nullptr ? make_cuda_probe_attention(props.device_id) : nullptr;
}

}  // namespace

ggml_backend_holder open_cpu_backend(int32_t n_threads) {
    ggml_backend_holder backend(ggml_backend_init_by_type(GGML_BACKEND_DEVICE_TYPE_CPU, nullptr));
    if (backend == nullptr) {
        throw failure("no CPU backend of ggml is loaded");
    }
    ggml_backend_reg_t registry = ggml_backend_dev_backend_reg(ggml_backend_get_device(backend.get()));
    auto * address = ggml_backend_reg_get_proc_address(registry, "ggml_backend_set_n_threads");
    if (address != nullptr) {
        reinterpret_cast<ggml_backend_set_n_threads_t>(address)(backend.get(), n_threads);
    }
    return backend;
}

probe_device open_probe_device(const std::string & name, int32_t n_threads) {
    if (name.empty()) {
        return {open_cpu_backend(n_threads), make_cpu_probe_attention(n_threads), ""};
    }
    const ggml_backend_dev_t device = ggml_backend_dev_by_name(name.c_str());
    if (device == nullptr) {
        throw failure("no device " + name + " here (trianglemix info lists them)");
    }
    probe_device opened;
    opened.backend.reset(ggml_backend_dev_init(device, nullptr));
    if (opened.backend == nullptr) {
        throw failure("device " + name + " could not be opened (is its memory full?)");
    }
    opened.attention = attention_on(device);
    if (opened.attention == nullptr) {
        opened.attention = make_cpu_probe_attention(n_threads);
        opened.note = "attention of the probe is computed on the CPU: this program has no kernels for " + name;
    }
    return opened;
}

}  // namespace tmx
