// ggml's FLASH_ATTN_EXT node as the kernels see it. The one place that turns byte strides and ne[] order into elements
// and our axis order, and that says which nodes the kernels can take: what the table of trianglemix/kernel_features.h
// covers, and what of ggml's forms the view can express.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "ggml/abi.h"
#include "trianglemix/attention.h"

namespace tmx {

// Why a node is not claimed, so that llama.cpp computes it. The names appear in statistics and docs/backend.md.
enum class decline_reason : uint8_t {
    disabled,  // switched off at run time
    rows,      // fewer query rows than TRIANGLEMIX_MIN_ROWS
    types,     // queries not f32, or keys or values of a type the kernels do not read
    dims,      // head dimensions not multiples of 16 in 16..256
    heads,     // query heads no multiple of key heads, or K and V differ in heads, keys or streams
    layout,    // rows not contiguous, or strides not whole elements
    mask,      // not f16, too small for the node, or broadcast in a way the kernels do not know
    extras,    // sink logits not one f32 a head, or a negative softcap
    no_flash,  // attention of a prompt as separate products and softmax: the host has flash attention off
};
constexpr int k_decline_reasons = 9;
const char * to_string(decline_reason reason);

// From shapes, types and strides alone: data may not be allocated yet. REQUIRES op->op == GGML_OP_FLASH_ATTN_EXT.
std::optional<decline_reason> why_declined(const ggml_tensor * op, int64_t min_rows);

// A prompt's attention of min_rows or more as llama.cpp builds it without flash attention, known by its softmax:
// nothing to claim there.
bool softmax_without_flash(const ggml_tensor * op, int64_t min_rows);

// Non-owning but for what ggml does not store. Not copyable: args point into it.
struct fattn_view {
    // REQUIRES !why_declined(op, 1), data allocated. Pointers of args are the tensors' own, in whatever memory they
    // are; only alibi_slope, and the mask of a node that has none, are in host memory.
    explicit fattn_view(const ggml_tensor * op);
    fattn_view(const fattn_view &) = delete;
    fattn_view & operator=(const fattn_view &) = delete;

    attention_args args;  // without a mask in the node, args.mask is one row of zeros for all: every key is visible
    bool has_mask = false;
    bool mask_per_head = false;

  private:
    std::vector<float> alibi_slope_;
    std::vector<uint16_t> visible_row_;
};

// The view of a key cache (a tensor named cache_k_l<layer>) that a node's keys are, or that they were copied or
// converted from: llama.cpp casts f32 keys to f16. Null if there is none.
const ggml_tensor * cached_keys(const ggml_tensor * k);

// That cache; null if there is none.
const ggml_tensor * key_cache(const ggml_tensor * k);

// Its layer; -1 if there is none.
int32_t layer_of_keys(const ggml_tensor * k);

}  // namespace tmx
