// What the CPU device's backend and the GPU proxies' have in common.
#pragma once

#include <exception>
#include <new>

#include "ggml/abi.h"

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

// Runs a graph_compute: the host is C, so what is thrown becomes a status and a line in the log.
template <typename compute_function>
ggml_status guarded_compute(const compute_function & compute) {
    try {
        return compute();
    } catch (const std::bad_alloc &) {
        GGML_LOG_ERROR("TriangleMix: out of memory\n");
        return GGML_STATUS_ALLOC_FAILED;
    } catch (const std::exception & error) {
        GGML_LOG_ERROR("TriangleMix: %s\n", error.what());
        return GGML_STATUS_FAILED;
    }
}

}  // namespace tmx
