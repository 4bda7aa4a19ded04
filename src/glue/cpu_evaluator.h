// One instance of the CPU device's backend (one per llama context): computes attention nodes as the settings ask.
//
// Nodes come one by one, a layer at a time. The first node of an evaluation classifies the ubatch; the next layers
// reuse that while the layer index strictly rises and the mask still has the same fingerprint.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "backend/evaluation.h"
#include "backend/layer_rules.h"
#include "backend/settings.h"
#include "backend/statistics.h"
#include "backend/ubatch_cache.h"
#include "glue/abi.h"
#include "glue/fattn_view.h"
#include "glue/host_log.h"
#include "glue/key_writes.h"
#include "glue/known_caches.h"
#include "glue/rebuilt_inputs.h"
#include "trianglemix/attention.h"

namespace tmx {

class cpu_evaluator {
  public:
    cpu_evaluator(settings & current, statistics & counters)
        : settings_(current), statistics_(counters), rules_(current, counters, host_log), ubatches_(counters) {}

    void set_n_threads(int n_threads);

    // REQUIRES node is a FLASH_ATTN_EXT.
    ggml_status compute(const ggml_cgraph * graph, const ggml_tensor * node);

    // The next nodes are of this graph, which shows none of its host's inputs: an evaluation of its own.
    // REQUIRES nothing of it ran.
    void begin_rebuilt(const ggml_cgraph * graph);

    // Of rows that are in the cache by now, whoever computes their attention: which cells they are in.
    // REQUIRES writes_keys(set_rows), computed.
    void observe(const ggml_cgraph * graph, const ggml_tensor * set_rows) {
        writes_.learn(graph, set_rows, caches_, rebuilt_.get());
    }

  private:
    const ubatch_runs & rows_of(const ggml_cgraph * graph, const ggml_tensor * node, const fattn_view & view,
                                int32_t layer);
    void begin_rules(const ggml_cgraph * graph, int32_t layer);
    void repair_precision(settings_snapshot & snapshot);
    status run(const attention_args & args, const std::vector<attention_segment> & segments,
               const selection_request * selection, selected_record & selected);

    settings & settings_;
    statistics & statistics_;
    layer_rules rules_;
    cpu_context context_;
    evaluation evaluation_;
    bool has_rules_ = false;  // rules_.begin() was called for this evaluation
    bool warned_precision_ = false;
    ubatch_cache ubatches_;
    ubatch_runs unshared_;  // what was found for a node that nothing may reuse
    key_write_reader writes_;
    known_caches caches_;
    std::unique_ptr<rebuilt_inputs> rebuilt_;  // null: graphs show their inputs
};

}  // namespace tmx
