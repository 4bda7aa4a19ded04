#include "glue/proxy/communication.h"

#include <memory>
#include <string_view>
#include <vector>

#include "glue/backend_common.h"
#include "glue/proxy/proxy_device.h"
#include "glue/proxy/tensor_split.h"

namespace tmx {
namespace {

// As ggml-backend.h declares them, where it does.
using comm_init = void * (*)(ggml_backend_t *, size_t);
using comm_free = void (*)(void *);
using comm_allreduce = bool (*)(void *, ggml_tensor **);

constexpr const char * k_init = "ggml_backend_comm_init";
constexpr const char * k_free = "ggml_backend_comm_free";
constexpr const char * k_allreduce = "ggml_backend_comm_allreduce_tensor";

struct communication {
    void * theirs = nullptr;
    comm_free free = nullptr;
    comm_allreduce allreduce = nullptr;
};

template <class Function>
Function function_of(ggml_backend_t backend, const char * name) {
    ggml_backend_reg_t reg = ggml_backend_dev_backend_reg(ggml_backend_get_device(backend));
    return reg != nullptr ? reinterpret_cast<Function>(ggml_backend_reg_get_proc_address(reg, name)) : nullptr;
}

// Null: the host adds up what the devices computed by copies and sums of its own.
void * init(ggml_backend_t * backends, size_t n) noexcept {
    return guarded_make([&]() -> void * {
        const auto group = std::make_shared<split_group>(n);
        std::vector<ggml_backend_t> wrapped;
        for (size_t i = 0; i < n; ++i) {
            proxy_join(backends[i], group, i);
            wrapped.push_back(unwrapped(backends[i]));
        }
        communication made{.free = function_of<comm_free>(wrapped.front(), k_free),
                           .allreduce = function_of<comm_allreduce>(wrapped.front(), k_allreduce)};
        const auto theirs = function_of<comm_init>(wrapped.front(), k_init);
        if (theirs == nullptr || made.free == nullptr || made.allreduce == nullptr) {
            return nullptr;
        }
        auto kept = std::make_unique<communication>(made);
        kept->theirs = theirs(wrapped.data(), n);
        return kept->theirs != nullptr ? kept.release() : nullptr;
    });
}

void release(void * context) noexcept {
    const std::unique_ptr<communication> held(static_cast<communication *>(context));
    held->free(held->theirs);
}

bool allreduce(void * context, ggml_tensor ** tensors) noexcept {
    const auto & held = *static_cast<communication *>(context);
    return held.allreduce(held.theirs, tensors);
}

}  // namespace

void * communication_address(const char * name) noexcept {
    const std::string_view asked(name);
    if (asked == k_init) {
        return reinterpret_cast<void *>(&init);
    }
    if (asked == k_free) {
        return reinterpret_cast<void *>(&release);
    }
    return asked == k_allreduce ? reinterpret_cast<void *>(&allreduce) : nullptr;
}

}  // namespace tmx
