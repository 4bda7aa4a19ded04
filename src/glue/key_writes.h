// The write of a prompt's or a decoded token's keys into the cache, taken from the host for one layer of each cache: so
// the CPU device sees every evaluation of a context, also those whose attention it leaves to the host, and knows which
// cell holds which position. The host's own CPU backend does the writing, so the cache holds what it always would.
#pragma once

#include "glue/abi.h"

namespace tmx {

// Whether to take this SET_ROWS: it writes keys into host memory, and its layer is the first of its cache, as far as
// was seen. THREADS  Any thread.
bool claims_key_write(const ggml_tensor * op);

// Computes such nodes.
class key_writer {
  public:
    key_writer() = default;
    ~key_writer();
    key_writer(const key_writer &) = delete;
    key_writer & operator=(const key_writer &) = delete;

    // Node `index` of the graph, on up to n_threads threads.
    ggml_status compute(ggml_cgraph * graph, int index, int n_threads);

  private:
    ggml_backend_t cpu_ = nullptr;  // made when it is first needed
    ggml_backend_set_n_threads_t set_n_threads_ = nullptr;
};

}  // namespace tmx
