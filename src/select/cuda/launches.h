// What the host sides of methods share.
#pragma once

#include <cuda_runtime_api.h>

#include <algorithm>
#include <span>

#include "trianglemix/cuda_attention.h"
#include "trianglemix/status.h"

namespace tmx::cuda {

inline status launched(cudaError_t error, const char * what) {
    (void)cudaGetLastError();  // the next launch must not report this one's error
    return error == cudaSuccess
               ? status()
               : status::error(status_code::device_error, "selecting blocks: %s: %s", what, cudaGetErrorString(error));
}
// Whether the launch before it was one.
inline status launched(const char * what) {
    return launched(cudaGetLastError(), what);
}

// Workspace of the segment that needs most: they use it one after the other.
template <class function>
int64_t most_bytes(std::span<const cuda_selected_rows> rows, function bytes_of) {
    int64_t most = 0;
    for (const cuda_selected_rows & each : rows) {
        most = std::max(most, bytes_of(each.shape));
    }
    return most;
}

}  // namespace tmx::cuda
