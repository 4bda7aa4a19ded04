// One backend instance (one per llama context): computes attention nodes as the settings ask.
//
// Nodes come one by one, a layer at a time. The first node of an evaluation classifies the ubatch; the next layers
// reuse that while the layer index strictly rises and the mask still has the same fingerprint. llama.cpp reuses graphs,
// so neither tensor addresses nor shapes can tell one ubatch from the next.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ggml/abi.h"
#include "ggml/cell_table.h"
#include "ggml/fattn_view.h"
#include "ggml/node_work.h"
#include "ggml/settings.h"
#include "ggml/statistics.h"
#include "ggml/ubatch_runs.h"
#include "trianglemix/attention.h"

namespace tmx {

class evaluator {
  public:
    evaluator(settings & current, statistics & counters) : settings_(current), statistics_(counters) {}

    void set_n_threads(int n_threads) { context_.n_threads = n_threads > 0 ? n_threads : 1; }

    // REQUIRES node is a FLASH_ATTN_EXT that why_declined() does not decline.
    ggml_status compute(const ggml_cgraph * graph, const ggml_tensor * node);

  private:
    struct classified {
        const ggml_tensor * mask = nullptr;
        const ggml_tensor * out_ids = nullptr;
        int64_t n_stream = 0;
        int64_t n_rows = 0;
        int64_t n_kv = 0;
        uint64_t print = 0;
        ubatch_runs found;
    };
    struct cache_cells {
        const void * cache = nullptr;
        cell_table table;
    };

    void begin_evaluation(const ggml_cgraph * graph, int32_t layer);
    void check_plan(const ggml_cgraph * graph);
    void describe_plan(const model_shape & running) const;
    const ubatch_runs & classify(const ggml_cgraph * graph, const ggml_tensor * node, const fattn_view & view,
                                 int32_t layer);
    cell_table & cells_of(const void * cache);
    layer_rule rule_of(int32_t layer, attention_args & args);
    status run(const attention_args & args, const std::vector<attention_segment> & segments);

    settings & settings_;
    statistics & statistics_;
    cpu_context context_;
    settings_snapshot now_;
    int32_t last_layer_ = -1;
    uint64_t checked_generation_ = 0;  // of the plan that `refusal_` speaks of; 0: none yet
    std::string refusal_;              // why the plan does not fit the running model; "" if it does
    bool warned_precision_ = false;
    std::vector<classified> remembered_;  // of this evaluation, one a mask
    ubatch_runs unshared_;                // what was found for a node that nothing may reuse
    std::vector<cache_cells> caches_;     // newest last
};

}  // namespace tmx
