// ggml's RMS_NORM, and the MUL by a vector of weights that follows one, as the kernels see them.
#pragma once

#include <cstdint>
#include <optional>

#include "backend/norm_decline.h"
#include "glue/abi.h"
#include "trianglemix/norms.h"

namespace tmx {

// Whether a node is an RMS_NORM, or a MUL of one by a vector of weights.
bool is_norm(const ggml_tensor * op);

// Why a norm is not claimed from so many tokens on; nothing: it is. REQUIRES is_norm(op).
std::optional<norm_decline> why_norm_declined(const ggml_tensor * op, int64_t min_rows);

// Why the kernels cannot compute it, however many tokens. REQUIRES is_norm(op).
std::optional<norm_decline> why_norm_impossible(const ggml_tensor * op);

// Whether the node at `index` is an RMS_NORM whose only use is the MUL that comes next in the graph, so that both can
// be computed as one.
bool multiplied_next(const ggml_cgraph * graph, int index);

// One node. REQUIRES the node is claimed.
norm_args norm_of(const ggml_tensor * op);

// An RMS_NORM and the MUL that follows, as one. REQUIRES multiplied_next(), both nodes are claimed.
norm_args norm_of(const ggml_tensor * norm, const ggml_tensor * multiplied);

}  // namespace tmx
