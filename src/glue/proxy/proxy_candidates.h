// Which devices get a proxy.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "backend/cuda/attention_executor.h"
#include "glue/abi.h"

namespace tmx {

class proxy_device;

// A new backend of a proxy; null, with the reason in the log, if the wrapped device cannot make one. One for a GPU
// without an executor (no memory, say, or one of another host) passes everything on.
ggml_backend_t proxy_backend(proxy_device & device, const char * params) noexcept;

// A device that a proxy may be put in front of.
struct proxy_candidate {
    ggml_backend_dev_t device = nullptr;  // of another backend
    enum ggml_backend_dev_type type = GGML_BACKEND_DEVICE_TYPE_GPU;
    std::string name;    // the proxy's: TriangleMix0
    std::string kernel;  // what will compute, for people
    ggml_backend_t (*start)(proxy_device & device, const char * params) noexcept = proxy_backend;
    std::function<status(std::unique_ptr<attention_executor> & executor)> make_executor;  // of a GPU here
    // Whether that is the host's memory, and pinned, as the scheduler's is. Null: there is no such memory.
    std::function<bool(const void * data)> pinned = {};
};

// Of the GPUs that ggml has registered, those that this build has kernels for; for any other one line in the log
// says why not. Which they are is decided when linking: cuda_candidates.cpp, no_candidates.cpp, or a test's own.
std::vector<proxy_candidate> proxy_candidates();

}  // namespace tmx
