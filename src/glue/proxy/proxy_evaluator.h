// One proxy backend: takes the attention of prompts, and their feed-forward blocks, out of each graph and passes
// everything else on to the wrapped backend, in order, waiting for nothing.
//
// This file only says in which order its parts come: what is known of the graph (known_graph.h), learning its cells
// (proxy_cells.h), planning its steps (step_planner.h), enqueueing it (graph_cutter.h). A graph without a step is
// passed on whole.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "backend/cuda/attention_executor.h"
#include "backend/evaluation.h"
#include "backend/layer_rules.h"
#include "backend/settings.h"
#include "backend/statistics.h"
#include "backend/ubatch_cache.h"
#include "glue/abi.h"
#include "glue/buffers/late_masks.h"
#include "glue/proxy/graph_cutter.h"
#include "glue/proxy/known_graph.h"
#include "glue/proxy/passed_on.h"
#include "glue/proxy/pending_counts.h"
#include "glue/proxy/proxy_cells.h"
#include "glue/proxy/proxy_limits.h"
#include "glue/proxy/scratch_keeper.h"
#include "glue/proxy/step_planner.h"
#include "glue/proxy/tensor_split.h"

namespace tmx {

class proxy_evaluator {
  public:
    // `wrapped` and `held` must outlive this. `executor` may be null: then everything is passed on.
    proxy_evaluator(const std::string & device, ggml_backend_t wrapped, std::unique_ptr<attention_executor> executor,
                    settings & current, statistics & counters, const proxy_limits & limits, scratch_meter & held);
    ~proxy_evaluator();
    proxy_evaluator(const proxy_evaluator &) = delete;
    proxy_evaluator & operator=(const proxy_evaluator &) = delete;

    void set_n_threads(int n_threads) { ubatches_.set_n_threads(n_threads > 0 ? n_threads : 1); }

    // From now on it computes some heads of each layer, the other devices of the group the others.
    void join(std::shared_ptr<split_group> group, size_t device) { split_.join(std::move(group), device); }

    ggml_status compute(ggml_cgraph * graph);
    void synchronize();

  private:
    ggml_status compute_part(ggml_cgraph * graph);
    ggml_status compute_steps(ggml_cgraph * graph, int first);
    void begin_graph(const ggml_cgraph * graph);
    bool has_beginning(const ggml_cgraph * graph) const;
    bool confirm_masks();

    std::string device_;
    ggml_backend_t wrapped_;
    std::unique_ptr<attention_executor> executor_;
    const settings & settings_;
    statistics & statistics_;

    known_graph graph_;
    proxy_cells cells_{graph_};
    layer_rules rules_;
    ubatch_cache ubatches_;
    scratch_keeper scratch_;
    split_member split_;
    passed_on_notes notes_;
    pending_counts pending_;
    late_masks masks_;
    step_planner planner_;
    graph_cutter cutter_;

    // The current evaluation, which may come as several graphs.
    evaluation evaluation_;
    struct beginning {
        ggml_tensor ** keys = nullptr;  // of the whole graph's hash set
        const ggml_tensor * first = nullptr;
        int32_t layer = -1;  // of `first`
    };
    beginning began_;
    bool expects_steps_ = true;  // the last evaluation of a prompt had steps
};

}  // namespace tmx
