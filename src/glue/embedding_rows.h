// The lookup of a prompt's token embeddings, which llama.cpp keeps in the host's memory and looks up before a GPU gets
// to work: GET_ROWS of weights. The host's CPU backend does that on one thread, 13 ms for 4,096 rows of 4,096 values,
// and where our kernels are faster than the host fills its masks, the GPU waits for all that the host does.
#pragma once

#include <cstdint>
#include <optional>

#include "glue/abi.h"

namespace tmx {

// Whether to take this GET_ROWS: of weights in plain host memory, of a type that ggml converts, and of as many rows as
// are asked for; else of so many that several threads pay. THREADS  Any.
bool claims_embeddings(const ggml_tensor * op, std::optional<int64_t> least_rows);

// Computes it on up to n_threads threads, by ggml's own conversion: the same bits as the host's. False: an index is out
// of range; the result holds anything then. REQUIRES claims_embeddings(node, 0), all of it in host memory.
bool look_up_embeddings(const ggml_tensor * node, int n_threads);

}  // namespace tmx
