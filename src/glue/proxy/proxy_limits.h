// How much a GPU proxy may take and when it gives it back.
#pragma once

#include <atomic>
#include <cstdint>

#include "trianglemix/cuda_attention.h"

namespace tmx {

struct proxy_limits {
    // Masks from this size on are read whole only while the device works, and sent to it only if it needs them
    // (docs/backend.md): smaller ones take less than 0.2 ms on a few cores.
    int64_t deferred_mask_bytes = 4 << 20;
    // Device memory for the kernels of all contexts (docs/backend.md). ggml aborts the process when its own pool finds
    // no more, and needs about as much as we do where it computes the same node, so three quarters of what is free are
    // left to it. A gigabyte is K and V of 256K keys with 8 heads of 128 dimensions in f16.
    cuda_scratch_limit scratch{.most_bytes = int64_t{1} << 30, .share = 4};
    // Evaluations that used no scratch memory before it is given back: decoding goes on, and no prompt's odd ubatch.
    int idle_evaluations = 16;
};

// Of a proxy that has no kernels on a device.
constexpr proxy_limits k_no_scratch{.scratch = {.most_bytes = 0, .share = 1}};

// Device memory that the contexts of one proxy hold for themselves, in bytes.
using scratch_meter = std::atomic<int64_t>;

}  // namespace tmx
