// The write of a prompt's or a decoded token's keys into the cache, taken from the host for one layer of each cache: so
// the CPU device sees every evaluation of a context, also those whose attention it leaves to the host, and knows which
// cell holds which position. The host's own CPU backend does the writing, so the cache holds what it always would.
#pragma once

#include <cstdint>
#include <vector>

#include "glue/abi.h"
#include "glue/graph_inputs.h"
#include "glue/known_caches.h"

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

// A SET_ROWS of keys and what tells which cells it fills.
struct key_write {
    const ggml_tensor * set_rows = nullptr;
    const ggml_tensor * attention = nullptr;  // a node that reads these keys by a mask; null: there is none
    input_tensors tensors;                    // of that node; without one, only the cells
};

// Learns from such writes which cells an evaluation's rows are in, whoever computes their attention. In decoding one
// graph is computed hundreds of times a second, so it is looked through once.
class key_write_reader {
  public:
    // As learn_inputs(). `rebuilt`: the inputs of a graph that shows none; null: of any other.
    // REQUIRES writes_keys(set_rows), which is computed; inputs and cache in host memory.
    void learn(const ggml_cgraph * graph, const ggml_tensor * set_rows, known_caches & caches,
               const rebuilt_inputs * rebuilt);

  private:
    struct seen_write {
        uint64_t graph_uid = 0;  // 0: of a graph that has none
        key_write found;
    };
    std::vector<seen_write> seen_;  // the last few
};

}  // namespace tmx
