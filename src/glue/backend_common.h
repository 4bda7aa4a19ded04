// What the CPU device's backend and the GPU proxies' have in common.
#pragma once

#include <exception>
#include <new>

#include "glue/abi.h"

namespace tmx {

// Operations that only name memory; every backend accepts them.
inline bool is_view(const ggml_tensor * node) {
    switch (node->op) {
        case GGML_OP_NONE:
        case GGML_OP_RESHAPE:
        case GGML_OP_VIEW:
        case GGML_OP_PERMUTE:
        case GGML_OP_TRANSPOSE:
            return true;
        default:
            return false;
    }
}

inline bool computes_nothing(const ggml_tensor * node) {
    return is_view(node) || ggml_is_empty(node) || (node->flags & GGML_TENSOR_FLAG_COMPUTE) == 0;
}

// Not so where the host keeps its weights repacked: such a buffer does not say that it is the host's. Before memory is
// given out nothing is known, and nothing speaks against it.
inline bool in_plain_memory(const ggml_tensor * tensor) {
    const ggml_backend_buffer_t buffer = tensor->view_src != nullptr ? tensor->view_src->buffer : tensor->buffer;
    return buffer == nullptr || ggml_backend_buffer_is_host(buffer);
}

// Whether the host can read the tensor's data as it is.
inline bool in_host_memory(const ggml_tensor * tensor) {
    return tensor->data != nullptr && in_plain_memory(tensor);
}

// Whatever the host gets to call goes through here: the host is C, so nothing may be thrown into it, and a function
// that does not promise that does not compile.
template <typename result, typename... arguments>
constexpr auto c_callback(result (*function)(arguments...) noexcept) -> result (*)(arguments...) {
    return function;
}

// Runs a graph_compute: what is thrown becomes a status and a line in the log.
template <typename compute_function>
ggml_status guarded_compute(const compute_function & compute) noexcept {
    try {
        return compute();
    } catch (const std::bad_alloc &) {
        GGML_LOG_ERROR("TriangleMix: out of memory\n");
        return GGML_STATUS_ALLOC_FAILED;
    } catch (const std::exception & error) {
        GGML_LOG_ERROR("TriangleMix: %s\n", error.what());
    } catch (...) {
        GGML_LOG_ERROR("TriangleMix: unknown error\n");
    }
    return GGML_STATUS_FAILED;
}

// Gives the host something that is made, or an answer; what is thrown becomes null, or no, and a line in the log.
template <typename make_function>
auto guarded_make(const make_function & make) noexcept -> decltype(make()) {
    try {
        return make();
    } catch (const std::bad_alloc &) {
        GGML_LOG_ERROR("TriangleMix: out of memory\n");
    } catch (const std::exception & error) {
        GGML_LOG_ERROR("TriangleMix: %s\n", error.what());
    } catch (...) {
        GGML_LOG_ERROR("TriangleMix: unknown error\n");
    }
    return {};
}

}  // namespace tmx
