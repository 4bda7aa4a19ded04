// The GPU devices TriangleMix0..n: each stands in front of a device of another backend, under a name of its own,
// forwards everything to it, and computes the attention of prompts itself (proxy_evaluator.h).
//
// Buffers are the wrapped device's own, with the host's writes to key caches noted (cache_writes.h). Only the handle of
// its buffer type is doubled: the double allocates the same buffers, but names the proxy as its device, which is where
// llama.cpp looks when it sums up what a device has to hold.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "glue/abi.h"
#include "glue/buffers/late_masks.h"
#include "glue/proxy/proxy_candidates.h"
#include "glue/proxy/proxy_limits.h"

namespace tmx {

class split_group;

class proxy_device {
  public:
    // REQUIRES candidate.device is not null and outlives this. The object must not move: ggml keeps its address.
    proxy_device(ggml_backend_reg_t reg, proxy_candidate candidate, proxy_limits limits = {});
    proxy_device(const proxy_device &) = delete;
    proxy_device & operator=(const proxy_device &) = delete;

    ggml_backend_dev_t handle() { return &device_; }
    ggml_backend_dev_t wrapped() const { return candidate_.device; }
    ggml_backend_buffer_type_t buffer_type() { return &buffer_type_; }
    const proxy_candidate & candidate() const { return candidate_; }
    const std::string & description() const { return description_; }
    const proxy_limits & limits() const { return limits_; }
    scratch_meter & scratch() { return scratch_; }
    // Of masks in the device's buffers.
    mask_patience patience() const {
        return {.least_bytes = limits_.deferred_mask_bytes, .stays = candidate_.pinned ? &candidate_.pinned : nullptr};
    }

    // The proxy behind ggml's handle. REQUIRES the handle is a proxy's.
    static proxy_device & of(ggml_backend_dev_t device) { return *static_cast<proxy_device *>(device->context); }

  private:
    proxy_candidate candidate_;
    proxy_limits limits_;
    scratch_meter scratch_{0};
    std::string description_;
    ggml_backend_device device_;
    ggml_backend_buffer_type buffer_type_;
};

// The memory of the host that the first registered proxy's GPU reads fastest; null without such a GPU. THREADS  Any.
ggml_backend_buffer_type_t proxied_host_memory();

// Whether a backend is a proxy's, and the one behind it: itself if it is none.
bool is_proxy(ggml_backend_t backend);
ggml_backend_t unwrapped(ggml_backend_t backend);

// The backend computes some heads of each layer from now on (tensor_split.h), if it is a proxy's.
void proxy_join(ggml_backend_t backend, const std::shared_ptr<split_group> & group, size_t device);

// Of a proxy's backend: the host's thread count, for reading masks.
void proxy_set_n_threads(ggml_backend_t backend, int n_threads) noexcept;

}  // namespace tmx
