// Enqueues a graph in order, part by part: what the kernels compute to the executor, and the stretches between to the
// wrapped backend, as graph views that share the hash set. Nothing is reordered, fusions within a stretch stay
// possible, and nothing is waited for where the device has events.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "backend/cuda/attention_executor.h"
#include "backend/layer_rules.h"
#include "backend/statistics.h"
#include "ggml-cpp.h"
#include "glue/abi.h"
#include "glue/buffers/late_masks.h"
#include "glue/proxy/passed_on.h"
#include "glue/proxy/pending_counts.h"
#include "glue/proxy/step_planner.h"

namespace tmx {

class graph_cutter {
  public:
    // All of it must outlive this. `executor` may be null: then there are no steps to run.
    graph_cutter(ggml_backend_t wrapped, attention_executor * executor, layer_rules & rules, statistics & counters,
                 pending_counts & pending, late_masks & masks, const passed_on_notes & notes);

    // The whole graph, as the same ggml_cgraph, so that the wrapped backend's own graph caching (CUDA graphs in
    // decoding) finds what it knows.
    ggml_status pass_on_whole(ggml_cgraph * graph);

    // What follows is about a graph of so many rows.
    void begin_graph(int64_t n_rows) { n_rows_ = n_rows; }

    // Nodes [begin, end) of it.
    ggml_status pass_on(ggml_cgraph * graph, int begin, int end);

    // The graph from node `begin` on. REQUIRES steps and blocks ascend from there, and none lies within a block.
    ggml_status run(ggml_cgraph * graph, int begin, const std::vector<step> & steps,
                    const std::vector<feed_forward_step> & blocks);

  private:
    ggml_status run_step(ggml_cgraph * graph, const step & planned);
    ggml_status run_block(ggml_cgraph * graph, const feed_forward_step & block);
    status in_order(const std::function<status()> & enqueue);
    ggml_cgraph marked(const ggml_cgraph & part);

    ggml_backend_t wrapped_;
    attention_executor * executor_;
    layer_rules & rules_;
    statistics & statistics_;
    pending_counts & pending_;
    late_masks & masks_;
    const passed_on_notes & notes_;
    ggml_backend_event_ptr ready_;  // the wrapped backend has the node's inputs; null: no events
    ggml_backend_event_ptr done_;   // the executor has its output
    int64_t n_rows_ = 0;
    ggml_tensor mark_{};  // marked()'s, and the nodes that it made
    std::vector<ggml_tensor *> marked_nodes_;
};

}  // namespace tmx
