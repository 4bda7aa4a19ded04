// probe/probe_device.h -- where the probe computes: the graphs between attentions on a device of ggml, attention
// there too where this program has kernels for it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "probe/layer_weights.h"
#include "probe/probe_attention.h"

namespace tmx {

struct probe_device {
    ggml_backend_holder backend;
    std::unique_ptr<probe_attention> attention;
    std::string note;  // not empty: what the user should know
};

// name: a device that ggml lists, one of ours in front of a GPU as well as the GPU's own; "": the CPU.
// ERRORS failure: no such device, or it cannot be opened.
probe_device open_probe_device(const std::string & name, int32_t n_threads);

// A ggml backend of this process that computes on the CPU with that many threads. ERRORS failure: none is loaded.
ggml_backend_holder open_cpu_backend(int32_t n_threads);

}  // namespace tmx
