// One proxy backend at work: takes the prompt attention out of each graph and hands everything else to the wrapped
// backend, in order, waiting for nothing.
//
// A graph without a node of ours goes through whole, as the same ggml_cgraph, so that the wrapped backend's own graph
// caching (CUDA graphs in decoding) finds what it knows. Otherwise its stretches of other nodes become graph views that
// share the hash set; nothing is reordered, and fusions within a stretch stay possible.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ggml-cpp.h"
#include "ggml/abi.h"
#include "ggml/attention_executor.h"
#include "ggml/fattn_view.h"
#include "ggml/graph_inputs.h"
#include "ggml/known_caches.h"
#include "ggml/known_graph.h"
#include "ggml/layer_rules.h"
#include "ggml/mask_check.h"
#include "ggml/settings.h"
#include "ggml/statistics.h"

namespace tmx {

struct proxy_limits {
    // Masks from this size on are read whole only while the device works (docs/backend.md): smaller ones take less than
    // 0.2 ms on a few cores.
    int64_t deferred_mask_bytes = 4 << 20;
    // Device memory for the kernels of all contexts (docs/backend.md). ggml aborts the process when its own pool finds
    // no more, and needs about as much as we do where it computes the same node, so three quarters of what is free are
    // left to it. A gigabyte is K and V of 256K keys with 8 heads of 128 dimensions in f16.
    cuda_scratch_limit scratch{.most_bytes = int64_t{1} << 30, .share = 4};
    // Evaluations that used no scratch memory before it is given back: decoding goes on, and no prompt's odd ubatch.
    int idle_evaluations = 16;
};

// Device memory that the contexts of one proxy hold for themselves, in bytes.
using scratch_meter = std::atomic<int64_t>;

class proxy_evaluator {
  public:
    // `wrapped` and `held` must outlive this. `executor` may be null: then everything is passed on.
    proxy_evaluator(std::string device, ggml_backend_t wrapped, std::unique_ptr<attention_executor> executor,
                    settings & current, statistics & counters, proxy_limits limits, scratch_meter & held);
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
        std::vector<uint8_t> marks;  // selected_marks() of them
        selected_pairs selected;
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

    ggml_status compute_part(ggml_cgraph * graph);
    std::vector<int>::const_iterator first_of_ours(const ggml_cgraph * graph) const;
    const char * too_small(const ggml_tensor * node) const;
    void begin_graph(const ggml_cgraph * graph, const std::vector<int> & nodes);
    bool plan_steps(const ggml_cgraph * graph, const std::vector<int> & nodes);
    bool plan_step(const ggml_cgraph * graph, int index);
    const classified & classify(const ggml_cgraph * graph, const ggml_tensor * node, const fattn_view & view);
    const prepared * prepare(const classified & ubatch, const layer_rule & rule, const attention_args & args);
    const prepared * usable(const prepared & how);
    known_cache & cache_of(const ggml_cgraph * graph, const ggml_tensor * node);
    void learn_cells(const ggml_cgraph * graph, const std::vector<int> & nodes);
    void learn_cells_of(const ggml_cgraph * graph, const ggml_tensor * node);
    ggml_status run_steps(ggml_cgraph * graph, int passed);
    status run_step(const step & now);
    ggml_status pass_on(ggml_cgraph * graph, int begin, int end);
    bool masks_confirmed();
    void pass_on_node(const char * reason, const char * why = "");
    void limit_scratch();
    void note_scratch();
    void release_idle_scratch();

    std::string device_;
    ggml_backend_t wrapped_;
    std::unique_ptr<attention_executor> executor_;
    settings & settings_;
    statistics & statistics_;
    proxy_limits limits_;
    scratch_meter & held_;
    int64_t noted_scratch_ = 0;  // this one's part of it
    int n_idle_ = 0;             // evaluations since it was used
    known_graph graph_;
    layer_rules rules_;
    int n_threads_ = 1;
    known_caches caches_;
    bool expects_steps_ = true;      // the last evaluation of a prompt had nodes of ours
    bool read_masks_first_ = false;  // a mask was not what its samples said: from now on read all of it at once
    ggml_backend_event_ptr ready_;   // the wrapped backend has the node's inputs; null: no events
    ggml_backend_event_ptr done_;    // we have its output

    // Of the current evaluation, which may come as several graphs; deques, since others point into them.
    struct evaluation {
        ggml_tensor ** keys = nullptr;  // of the whole graph's hash set
        const ggml_tensor * first = nullptr;
        int32_t layer = -1;                        // of `first`
        bool has_rules = false;                    // rules_.begin() was called for it
        std::vector<const ggml_tensor *> learned;  // masks of nodes that were passed on and whose cells are known
    };
    evaluation evaluation_;
    int32_t last_layer_ = -1;  // < 0: nothing goes on
    std::deque<classified> ubatches_;
    std::deque<prepared> works_;
    std::vector<step> steps_;  // of the current graph
};

}  // namespace tmx
