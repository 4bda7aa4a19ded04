// Reads from a llama.cpp graph what find_runs() needs beside the node itself. Every graph view shares the whole graph's
// hash set of tensors, so the inputs are found there even from a split that holds one node.
//
// On a GPU the nodes read copies that the scheduler made of the inputs. It names them after the originals
// ("TriangleMix0#attn_inp_kq_mask#0"), which lie in the hash set too, in host memory, unchanged while the device works.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "backend/runs/ubatch_runs.h"
#include "glue/abi.h"
#include "glue/fattn_view.h"
#include "glue/known_caches.h"
#include "trianglemix/plan.h"

namespace tmx {

struct graph_inputs {
    std::optional<mask_reason> missing;  // set: rows must be computed through the mask, for this reason
    ubatch_view view;                    // outputs are set even where `missing` is
    const ggml_tensor * out_ids = nullptr;
    std::vector<int64_t> first_cell;  // what view.first_cell points to
    std::vector<int32_t> positions;   // what view.positions points to where the graph holds several a row
};

// The tensors that hold them, each null where there is none, or several that could be it. A model with two caches has
// two masks and two lists of cells of one name, and maybe of one shape: which of them a node reads a copy of is told by
// what they hold, evaluation by evaluation.
struct input_tensors {
    std::vector<const ggml_tensor *> masks;   // the node's, or those that it can be a copy of
    const ggml_tensor * positions = nullptr;  // inp_pos
    bool has_positions = false;               // false: the graph has no such tensor, as of a model without positions
    // Indices of the SET_ROWS that fills the node's key cache, or those that they can be a copy of.
    std::vector<const ggml_tensor *> own_cells;
    const ggml_tensor * out_ids = nullptr;
    bool rotary = false;  // the keys went through RoPE
};

// Why a node has no such inputs: its rows see every key, its keys have no layer, or its heads have masks of their own.
std::optional<mask_reason> without_runs(const fattn_view & fattn, int32_t layer);

// REQUIRES node is a FLASH_ATTN_EXT that is not without_runs().
//          `device`: name of the backend whose copies the node reads; null: the node reads host memory.
input_tensors find_inputs(const ggml_cgraph * graph, const ggml_tensor * node, const char * device);

// REQUIRES `fattn` is the node's view.
graph_inputs read_inputs(const input_tensors & tensors, const ggml_tensor * node, const fattn_view & fattn);

// Learns which cells the node's rows are in, or forgets every cell that they may have overwritten where that is
// missing. REQUIRES inputs = read_inputs(tensors, ...), with the rows' keys in the cache `known`.
void learn_inputs(const input_tensors & tensors, const graph_inputs & inputs, known_cache & known);

// Forgets every cell that the node's rows may have overwritten.
void forget_rows(const input_tensors & tensors, cell_table & table);

// Whether a tensor is what a SET_ROWS of keys leaves: a view of a cache named cache_k_l<layer>.
bool writes_keys(const ggml_tensor * tensor);

// A SET_ROWS of keys and what tells which cells it fills.
struct key_write {
    const ggml_tensor * set_rows = nullptr;
    const ggml_tensor * attention = nullptr;  // a node that reads these keys by a mask; null: there is none
    input_tensors tensors;                    // of that node; without one, only the cells
};

// REQUIRES writes_keys(set_rows).
key_write find_key_write(const ggml_cgraph * graph, const ggml_tensor * set_rows);

// As learn_inputs(), once it is computed. REQUIRES inputs and cache in host memory.
void learn_key_write(const key_write & write, known_caches & caches);

// The view of a node that shares its mask with one whose inputs were read before: for fingerprint() only. Positions and
// cells are left out, since their memory may already serve later nodes of the evaluation; out_ids is used only if the
// graph still holds that tensor.
ubatch_view view_for_fingerprint(const ggml_cgraph * graph, const fattn_view & fattn, const ggml_tensor * out_ids);

// The running model's shape, as far as the graph shows it: layers from weight and cache names, heads and dimension from
// the attention nodes (0 where they differ between layers).
model_shape shape_of_graph(const ggml_cgraph * graph);

}  // namespace tmx
