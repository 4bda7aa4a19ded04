// The CPU device TriangleMix: an ACCEL device over the CPU's own buffers, as ggml-blas is one.
#pragma once

#include "glue/abi.h"

namespace tmx {

// The one device of `reg`. THREADS Any; the first call decides the registry.
ggml_backend_dev_t accel_device(ggml_backend_reg_t reg);

// Whether there is a kernel for this CPU. Where there is none the device must not be offered: it would fail nodes.
bool cpu_device_runs();

// ggml's own proc address "ggml_backend_set_n_threads".
void accel_set_n_threads(ggml_backend_t backend, int n_threads) noexcept;

}  // namespace tmx
