// What a GPU proxy learns of the cells of key caches, graph by graph: whoever computes the attention, and whatever
// becomes of the rows.
#pragma once

#include <vector>

#include "backend/runs/cell_table.h"
#include "backend/ubatch_cache.h"
#include "glue/abi.h"
#include "glue/known_caches.h"
#include "glue/proxy/known_graph.h"

namespace tmx {

class proxy_cells {
  public:
    // `current`: the graph that is looked at.
    explicit proxy_cells(known_graph & current) : current_(current) {}

    void begin_evaluation() { learned_.clear(); }

    // Nothing is known any more.
    void forget() { caches_ = {}; }

    // Nothing is known of caches that the graph changes in another way than by writing rows of this evaluation, as when
    // positions are shifted: what the keys are then cannot be told.
    void forget_rewritten();

    // Learns the cells of the graph's rows; layers that share a mask share the cells.
    void learn(const ggml_cgraph * graph);

    // What is known of the node's key cache. Good until the next call.
    known_cells & of(const ggml_cgraph * graph, const ggml_tensor * node);

  private:
    void learn_node(const ggml_cgraph * graph, const ggml_tensor * node);

    known_graph & current_;
    known_caches caches_;
    std::vector<const ggml_tensor *> learned_;  // masks of this evaluation whose rows' cells are known
};

// A node's ubatch, its mask and inputs in the device's memory: read from their originals in the host's.
class device_ubatch final : public ubatch_source {
  public:
    // REQUIRES node is a FLASH_ATTN_EXT that is not without_runs(), cells.learn(graph) came first; all outlive this.
    device_ubatch(known_graph & current, proxy_cells & cells, const ggml_cgraph * graph, const ggml_tensor * node,
                  const fattn_view & view)
        : current_(current), cells_(cells), graph_(graph), node_(node), view_(view) {}

    ubatch_inputs read() override { return current_.inputs_now(graph_, node_, view_); }
    const known_cells & cells() override { return cells_.of(graph_, node_); }
    // Evaluations are told apart by their graphs.
    std::optional<ubatch_view> look_again(const ubatch_inputs &) override { return std::nullopt; }

  private:
    known_graph & current_;
    proxy_cells & cells_;
    const ggml_cgraph * graph_;
    const ggml_tensor * node_;
    const fattn_view & view_;
};

}  // namespace tmx
