// One proxy backend at work: takes the prompt attention out of each graph and hands everything else to the wrapped
// backend, in order, waiting for nothing.
//
// A graph without a node of ours goes through whole, as the same ggml_cgraph, so that the wrapped backend's own graph
// caching (CUDA graphs in decoding) finds what it knows. Otherwise its stretches of other nodes become graph views that
// share the hash set; nothing is reordered, and fusions within a stretch stay possible.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ggml/abi.h"
#include "ggml/attention_executor.h"
#include "ggml/cell_table.h"
#include "ggml/fattn_view.h"
#include "ggml/graph_inputs.h"
#include "ggml/layer_rules.h"
#include "ggml/mask_check.h"
#include "ggml/settings.h"
#include "ggml/statistics.h"

namespace tmx {

struct proxy_limits {
    // Masks from this size on are read whole only while the device works (docs/backend.md): smaller ones take less than
    // 0.2 ms on a few cores.
    int64_t deferred_mask_bytes = 4 << 20;
};

class proxy_evaluator {
  public:
    // `wrapped` must outlive this. `executor` may be null: then everything is passed on.
    proxy_evaluator(std::string device, ggml_backend_t wrapped, std::unique_ptr<attention_executor> executor,
                    settings & current, statistics & counters, proxy_limits limits = {});
    ~proxy_evaluator();
    proxy_evaluator(const proxy_evaluator &) = delete;
    proxy_evaluator & operator=(const proxy_evaluator &) = delete;

    void set_n_threads(int n_threads) { n_threads_ = n_threads > 0 ? n_threads : 1; }

    ggml_status compute(ggml_cgraph * graph);
    void synchronize();

  private:
    // One ubatch's rows as the nodes with one mask see them.
    struct classified {
        const ggml_tensor * mask = nullptr;  // the nodes'
        int64_t n_stream = 0;
        int64_t n_rows = 0;
        int64_t n_kv = 0;
        graph_inputs inputs;
        ubatch_runs found;
        std::unique_ptr<mask_check> check;  // still reading the mask; null: all of it was read
    };
    // What cuts and uploads have in common for some layers.
    struct prepared {
        const classified * ubatch = nullptr;
        layer_rule rule;
        attention_args shape;
        std::vector<attention_segment> segments;
        std::shared_ptr<const void> work;
        status made;  // of `work`
    };
    // One node that is ours.
    struct step {
        int node = 0;
        int32_t layer = -1;
        std::unique_ptr<fattn_view> view;
        layer_rule rule;
        const prepared * how = nullptr;
    };
    // The inputs' tensors of a graph that llama.cpp evaluates again, found once.
    struct known_inputs {
        const ggml_tensor * mask = nullptr;
        const ggml_tensor * cache = nullptr;
        input_tensors tensors;
    };
    // An input as it was when its evaluation began.
    struct host_copy {
        const ggml_tensor * original = nullptr;
        ggml_tensor tensor{};  // its data is `bytes`
        std::vector<std::byte> bytes;
    };

    const std::vector<int> & attention_nodes(const ggml_cgraph * graph);
    const input_tensors & inputs_of(const ggml_cgraph * graph, const ggml_tensor * node);
    graph_inputs inputs_now(const ggml_cgraph * graph, const ggml_tensor * node, const fattn_view & view);
    const char * too_small(const ggml_tensor * node) const;
    void begin_graph(const ggml_cgraph * graph, const std::vector<int> & nodes);
    bool plan_steps(const ggml_cgraph * graph, const std::vector<int> & nodes);
    void keep_positions(const ggml_cgraph * graph, const ggml_tensor * node);
    bool plan_step(const ggml_cgraph * graph, int index);
    const classified & classify(const ggml_cgraph * graph, const ggml_tensor * node, const fattn_view & view);
    const prepared * prepare(const classified & ubatch, const layer_rule & rule, const attention_args & args);
    const prepared * usable(const prepared & how);
    cell_table & cells_of(const ggml_tensor * node);
    void learn_cells(const ggml_cgraph * graph, const std::vector<int> & nodes);
    ggml_status run_steps(ggml_cgraph * graph, int passed);
    status run_step(const step & now);
    ggml_status pass_on(ggml_cgraph * graph, int begin, int end);
    bool masks_confirmed();
    void pass_on_node(const char * reason, const char * why = "");

    std::string device_;
    ggml_backend_t wrapped_;
    std::unique_ptr<attention_executor> executor_;
    settings & settings_;
    statistics & statistics_;
    proxy_limits limits_;
    layer_rules rules_;
    int n_threads_ = 1;
    cell_tables caches_;
    bool expects_steps_ = true;             // the last evaluation of a prompt had nodes of ours
    bool read_masks_first_ = false;         // a mask was not what its samples said: from now on read all of it at once
    ggml_backend_event_t ready_ = nullptr;  // the wrapped backend has the node's inputs; null: no events
    ggml_backend_event_t done_ = nullptr;   // we have its output

    // Of the current evaluation, which may come as several graphs; deques, since others point into them.
    struct evaluation {
        ggml_tensor ** keys = nullptr;  // of the whole graph's hash set
        const ggml_tensor * first = nullptr;
        int32_t layer = -1;          // of `first`
        bool has_rules = false;      // rules_.begin() was called for it
        bool has_positions = false;  // positions_ are its own
        std::vector<const ggml_tensor *> learned;  // masks of nodes that were passed on and whose cells are known
    };
    evaluation evaluation_;
    host_copy positions_;
    int32_t last_layer_ = -1;  // < 0: nothing goes on
    std::deque<classified> ubatches_;
    std::deque<prepared> works_;
    std::vector<step> steps_;  // of the current graph

    // Of the graph with this uid; 0: of none.
    uint64_t known_uid_ = 0;
    const void * known_nodes_ = nullptr;
    std::vector<int> known_attention_;
    std::deque<known_inputs> known_inputs_;
};

}  // namespace tmx
