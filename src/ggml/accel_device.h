// The CPU device TriangleMix: an ACCEL device over the CPU's own buffers, as ggml-blas is one.
#pragma once

#include "ggml/abi.h"

namespace tmx {

// The one device of `reg`. THREADS Any; the first call decides the registry.
ggml_backend_dev_t accel_device(ggml_backend_reg_t reg);

// ggml's own proc address "ggml_backend_set_n_threads".
void accel_set_n_threads(ggml_backend_t backend, int n_threads) noexcept;

}  // namespace tmx
