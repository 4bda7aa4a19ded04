// The device TriangleMixCPU: a proxy in front of the host's CPU, for programs that use no ACCEL device, as rpc-server.
// It takes whole graphs, computes what cpu_claims() takes, and has the host's own CPU backend compute the rest.
//
// Its graphs show none of their host's inputs (rebuilt_inputs.h): each is an evaluation of its own.
#pragma once

#include <optional>

#include "glue/abi.h"
#include "glue/proxy/proxy_candidates.h"

namespace tmx {

// Of the CPU that ggml has registered; none if there is none yet.
std::optional<proxy_candidate> cpu_proxy_candidate();

bool is_cpu_proxy(ggml_backend_t backend);

// Of such a backend.
void cpu_proxy_set_n_threads(ggml_backend_t backend, int n_threads) noexcept;

}  // namespace tmx
