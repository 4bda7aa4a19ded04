// Decides which attention nodes and feed-forward blocks of a graph the kernels compute, and prepares what those need:
// the steps of the graph. Every other node is passed on, those that might have been one with their reason.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "backend/cuda/attention_executor.h"
#include "backend/layer_rules.h"
#include "backend/segments.h"
#include "backend/selected_node.h"
#include "backend/settings.h"
#include "backend/ubatch_cache.h"
#include "glue/abi.h"
#include "glue/fattn_view.h"
#include "glue/proxy/known_graph.h"
#include "glue/proxy/passed_on.h"
#include "glue/proxy/proxy_cells.h"
#include "glue/proxy/scratch_keeper.h"
#include "glue/proxy/tensor_split.h"

namespace tmx {

// What segments and uploads have in common for some layers of an evaluation.
struct prepared_layers {
    const known_ubatch * ubatch = nullptr;
    layer_rule rule;
    attention_args shape;
    std::vector<attention_segment> segments;
    std::vector<uint8_t> marks;                     // selected_marks() of them
    std::shared_ptr<const selected_node> selected;  // null: none is
    std::shared_ptr<const void> work;
    status made;  // of `work`
};

// One node that the kernels compute.
struct step {
    int node = 0;  // its index in the graph
    int32_t layer = -1;
    std::unique_ptr<fattn_view> view;
    layer_rule rule;
    const prepared_layers * how = nullptr;
};

// One feed-forward block that they compute.
struct feed_forward_step {
    int first = 0;  // numbers of its first and its last node in the graph
    int last = 0;
    feed_forward_args args;
};

class step_planner {
  public:
    // What it works with; all of it must outlive this. Only first_step() is asked without an executor.
    struct parts {
        attention_executor * executor;
        const settings & current;
        layer_rules & rules;
        known_graph & graph;
        proxy_cells & cells;
        ubatch_cache & ubatches;
        scratch_keeper & scratch;
        const split_member & split;
        const passed_on_notes & notes;
    };
    explicit step_planner(const parts & all) : use_(all) {}

    void begin_evaluation();

    // Index of the graph's first node that is worth handing over to the kernels; -1: there is none.
    int first_step(const ggml_cgraph * graph) const;

    // Makes the steps of this graph, but for blocks before node `begin`. False: strict mode forbids the evaluation.
    bool plan(const ggml_cgraph * graph, int begin);

    const std::vector<step> & steps() const { return steps_; }
    std::vector<int> nodes_of_steps() const;
    const std::vector<feed_forward_step> & blocks() const { return blocks_; }
    void clear_steps();

    // Drops all work; the evaluation goes on without steps.
    void drop_prepared();

  private:
    void begin_rules(const ggml_cgraph * graph);
    const char * why_too_small(const ggml_tensor * node) const;
    bool plan_node(const ggml_cgraph * graph, int index);
    void plan_blocks(int begin);
    bool pass_on(int32_t layer, const layer_rule & rule, const char * reason, const char * why = "");
    const prepared_layers & prepare(const known_ubatch & ubatch, const layer_rule & rule, const attention_args & args);

    parts use_;
    bool has_rules_ = false;                // rules.begin() was called for this evaluation
    std::deque<prepared_layers> prepared_;  // of this evaluation; steps point into it
    std::vector<step> steps_;               // of the current graph; and its blocks
    std::vector<feed_forward_step> blocks_;
};

}  // namespace tmx
