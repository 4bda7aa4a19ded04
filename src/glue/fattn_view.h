// ggml's FLASH_ATTN_EXT node as the kernels see it. The one place that turns byte strides and ne[] order into elements
// and our axis order, and that says which nodes the kernels can take: what the table of trianglemix/kernel_features.h
// covers, and what of ggml's forms the view can express.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "backend/decline_reason.h"
#include "backend/runs/ubatch_runs.h"
#include "glue/abi.h"
#include "trianglemix/attention.h"

namespace tmx {

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

// Why the rows of a node are in no run whatever its mask says: they see every key, the keys have no layer, or the heads
// have masks of their own.
std::optional<mask_reason> without_runs(const fattn_view & fattn, int32_t layer);

}  // namespace tmx
