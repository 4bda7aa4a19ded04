// One backend instance (one per llama context): computes attention nodes as the settings ask.
//
// Nodes come one by one, a layer at a time. The first node of an evaluation classifies the ubatch; the next layers
// reuse that while the layer index strictly rises and the mask still has the same fingerprint. llama.cpp reuses graphs,
// so neither tensor addresses nor shapes can tell one ubatch from the next.
#pragma once

#include <cstdint>
#include <vector>

#include "ggml/abi.h"
#include "ggml/fattn_view.h"
#include "ggml/graph_inputs.h"
#include "ggml/known_caches.h"
#include "ggml/layer_rules.h"
#include "ggml/node_work.h"
#include "ggml/settings.h"
#include "ggml/statistics.h"
#include "ggml/ubatch_runs.h"
#include "trianglemix/attention.h"

namespace tmx {

class evaluator {
  public:
    evaluator(settings & current, statistics & counters)
        : settings_(current), statistics_(counters), rules_(current, counters) {}

    void set_n_threads(int n_threads) { context_.n_threads = n_threads > 0 ? n_threads : 1; }

    // REQUIRES node is a FLASH_ATTN_EXT that why_declined() does not decline.
    ggml_status compute(const ggml_cgraph * graph, const ggml_tensor * node);

    // Of rows that are in the cache by now, whoever computes their attention: which cells they are in.
    // REQUIRES writes_keys(set_rows), computed.
    void observe(const ggml_cgraph * graph, const ggml_tensor * set_rows);

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
    // In decoding one graph is computed hundreds of times a second, so it is looked through once.
    struct seen_write {
        uint64_t graph_uid = 0;  // 0: of a graph that has none
        key_write found;
    };
    void begin_evaluation(const ggml_cgraph * graph, int32_t layer);
    const ubatch_runs & classify(const ggml_cgraph * graph, const ggml_tensor * node, const fattn_view & view,
                                 int32_t layer);
    status run(const attention_args & args, const std::vector<attention_segment> & segments, const layer_rule & rule,
               selected_pairs & selected);

    settings & settings_;
    statistics & statistics_;
    layer_rules rules_;
    cpu_context context_;
    int32_t last_layer_ = -1;
    bool warned_precision_ = false;
    std::vector<classified> remembered_;  // of this evaluation, one a mask
    ubatch_runs unshared_;                // what was found for a node that nothing may reuse
    std::vector<seen_write> writes_;      // the last few
    known_caches caches_;
};

}  // namespace tmx
