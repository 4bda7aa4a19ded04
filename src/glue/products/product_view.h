// ggml's MUL_MAT and MUL_MAT_ID as the kernels see them.
#pragma once

#include <cstdint>
#include <optional>

#include "backend/product_decline.h"
#include "backend/product_settings.h"
#include "glue/abi.h"
#include "trianglemix/expert_products.h"
#include "trianglemix/products.h"

namespace tmx {

std::optional<weight_type> product_weights(ggml_type type);

// Whether a node is a product: MUL_MAT, or a mixture's MUL_MAT_ID.
bool is_product(const ggml_tensor * op);

// Why a product is not claimed under these rules; nothing: it is. A mixture's bound follows from that of a MUL_MAT.
// Both: REQUIRES is_product(op).
std::optional<product_decline> why_product_declined(const ggml_tensor * op, const product_rules & rules);

// Why the kernels cannot compute it, whatever the rules.
std::optional<product_decline> why_product_impossible(const ggml_tensor * op);

// Whether the process has a GPU, of whatever kind.
bool has_gpu();

// The product of one matrix of a MUL_MAT's batch. REQUIRES the node is claimed; 0 <= i2 < ne[2], 0 <= i3 < ne[3].
product_args product_of(const ggml_tensor * op, int64_t i2, int64_t i3);

// REQUIRES the node is claimed, and a MUL_MAT_ID.
expert_product_args expert_product_of(const ggml_tensor * op);

}  // namespace tmx
