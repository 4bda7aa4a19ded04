// Reads from a llama.cpp graph what find_runs() needs beside the node itself. Every graph view shares the whole graph's
// hash set of tensors, so the inputs are found there even from a split that holds one node.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "ggml/abi.h"
#include "ggml/fattn_view.h"
#include "ggml/ubatch_runs.h"
#include "trianglemix/plan.h"

namespace tmx {

struct graph_inputs {
    std::optional<mask_reason> missing;  // set: rows must be computed through the mask, for this reason
    ubatch_view view;                    // outputs are set even where `missing` is
    key_probe keys;                      // of the node's key cache, counted over the whole cache
    const void * cache = nullptr;        // identity of that cache
    const ggml_tensor * out_ids = nullptr;
    std::vector<int64_t> first_cell;  // what view.first_cell points to
};

// REQUIRES node is a FLASH_ATTN_EXT with a mask, one for all heads, whose keys have a layer; `fattn` is its view.
graph_inputs read_inputs(const ggml_cgraph * graph, const ggml_tensor * node, const fattn_view & fattn);

// The view of a node that shares its mask with one whose inputs were read before: for fingerprint() only. Positions and
// cells are left out, since their memory may already serve later nodes of the evaluation; out_ids is used only if the
// graph still holds that tensor.
ubatch_view view_for_fingerprint(const ggml_cgraph * graph, const fattn_view & fattn, const ggml_tensor * out_ids);

// The running model's shape, as far as the graph shows it: layers from weight and cache names, heads and dimension from
// the attention nodes (0 where they differ between layers).
model_shape shape_of_graph(const ggml_cgraph * graph);

}  // namespace tmx
