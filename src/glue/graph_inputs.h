// Reads from a llama.cpp graph what find_runs() needs beside the node itself. Every graph view shares the whole graph's
// hash set of tensors, so the inputs are found there even from a split that holds one node.
//
// On a GPU the nodes read copies that the scheduler made of the inputs. It names them after the originals
// ("TriangleMix0#attn_inp_kq_mask#0"), which lie in the hash set too, in host memory, unchanged while the device works.
#pragma once

#include <optional>
#include <vector>

#include "backend/runs/cell_table.h"
#include "backend/runs/ubatch_runs.h"
#include "backend/ubatch_cache.h"
#include "glue/abi.h"
#include "glue/fattn_view.h"
#include "glue/known_caches.h"

namespace tmx {

class far_rows;

// The tensors that hold them, each null where there is none, or several that could be it. A model with two caches has
// two masks and two lists of cells of one name, and maybe of one shape: which list of cells a node reads a copy of is
// told by what they hold, evaluation by evaluation; where masks have one shape, only the copies themselves tell
// (rebuilt_inputs.h).
struct input_tensors {
    std::vector<const ggml_tensor *> masks;   // the node's, or those that it can be a copy of, which then hold the same
    far_rows * far = nullptr;                 // what is known of the only one of these, which holds no data then
    const ggml_tensor * positions = nullptr;  // inp_pos
    bool has_positions = false;               // false: the graph has no such tensor, as of a model without positions
    // Indices of the SET_ROWS that fills the node's key cache, or those that they can be a copy of.
    std::vector<const ggml_tensor *> own_cells;
    const ggml_tensor * out_ids = nullptr;
    bool rotary = false;      // the keys went through RoPE
    bool whole_graph = true;  // false: what is not there may be in parts of the host's graph that others compute
};

class rebuilt_inputs;

// REQUIRES node is a FLASH_ATTN_EXT that is not without_runs().
//          `device`: name of the backend whose copies the node reads; null: the node reads host memory.
input_tensors find_inputs(const ggml_cgraph * graph, const ggml_tensor * node, const char * device);

// Whether that tensor can be a copy of several of the host's, as far as name and shape tell.
bool has_several_originals(const ggml_cgraph * graph, const ggml_tensor * copy, const char * device);

// REQUIRES `fattn` is the node's view.
ubatch_inputs read_inputs(const input_tensors & tensors, const ggml_tensor * node, const fattn_view & fattn);

// [n_stream] the cell of the node's key cache at which the keys of each stream begin; empty: its keys are no such rows.
std::vector<int64_t> first_cells(const ggml_tensor * node, int64_t n_stream);

// Learns which cells the node's rows are in, or forgets every cell that they may have overwritten where that is
// missing. REQUIRES inputs = read_inputs(tensors, ...), with the rows' keys in the cache whose `cells` these are.
void learn_inputs(const input_tensors & tensors, const ubatch_inputs & inputs, known_cells & cells);

// Forgets every cell that the node's rows may have overwritten.
void forget_rows(const input_tensors & tensors, cell_table & table);

// A node's ubatch, all of it in host memory.
class host_ubatch final : public ubatch_source {
  public:
    // `rebuilt`: the inputs of a graph that shows none; null: of any other. REQUIRES as read_inputs(). All of it must
    // outlive this.
    host_ubatch(const ggml_cgraph * graph, const ggml_tensor * node, const fattn_view & view, known_caches & caches,
                const rebuilt_inputs * rebuilt)
        : graph_(graph), node_(node), view_(view), caches_(caches), rebuilt_(rebuilt) {}

    ubatch_inputs read() override;  // learns the rows' cells, too
    const known_cells & cells() override { return *cells_; }
    std::optional<ubatch_view> look_again(const ubatch_inputs & before) override;

  private:
    const ggml_cgraph * graph_;
    const ggml_tensor * node_;
    const fattn_view & view_;
    known_caches & caches_;
    const rebuilt_inputs * rebuilt_;
    known_cells * cells_ = nullptr;
};

}  // namespace tmx
