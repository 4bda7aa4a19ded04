// From runs and a plan to the segments that the kernels compute, and to what they cost. Nothing of ggml.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "backend/runs/ubatch_runs.h"
#include "trianglemix/attention.h"
#include "trianglemix/head_rules.h"
#include "trianglemix/plan.h"
#include "trianglemix/selection.h"

namespace tmx {

// How one layer is to be treated.
struct layer_rule {
    const layer_heads * heads = nullptr;  // null: every head is dense
    triangle_shape shape;
    tail_policy tail = tail_policy::chunk;
    int64_t prompt_length = -1;         // < 0: unknown
    const std::string * way = nullptr;  // for the counters: kernel, precision and plan in force; null: unknown
    rotary_layout rotary = {};          // of the layer's queries and keys, for a method that must know it

    // Layers of one evaluation with the same number are treated alike; 0: exactly.
    int32_t id() const { return heads != nullptr ? heads->id : 0; }
    bool planned() const { return id() != 0; }
    // By which blocks are selected; null: by none.
    const selection_rule * selection() const {
        return heads != nullptr && heads->rule.selection ? &*heads->rule.selection : nullptr;
    }
    // [n_head] as in attention_args; null: none.
    const uint8_t * dense_head() const {
        return heads != nullptr && !heads->dense_head.empty() ? heads->dense_head.data() : nullptr;
    }
};

// Segments of one attention node. Their `cells` point into `found`, which must outlive them.
//
// A dense layer's runs, runs in which the order of the keys is not certain, and all masked rows take one segment each.
// A planned layer's run is cut by resolve_segments; the prompt's length counts only where the ubatch holds one run and
// that run lies inside the prompt. The rows have no band (k_no_band) if the layer is dynamic and not triangle, too.
std::vector<attention_segment> make_segments(const ubatch_runs & found, const layer_rule & rule);

// Which of a layer's segments are selected, one mark each; empty where none is: the rule selects nothing, or every row
// is dense.
std::vector<uint8_t> selected_marks(const std::vector<attention_segment> & segments, const layer_rule & rule);

// The request for a layer with these marks, which must outlive it. REQUIRES rule.selection(), and marks.
selection_request request_of(const layer_rule & rule, std::span<const uint8_t> marks);

// Rows of a planned layer that keep all their keys only because the order of these is not certain.
int64_t unordered_rows(const ubatch_runs & found, const layer_rule & rule);

// Query-key pairs, summed over the query heads.
struct pair_count {
    double kept = 0;
    double skipped = 0;  // causal pairs that the plan left out
    double masked = 0;   // what masked rows see; rows x keys where their mask was not read
    double flops = 0;
    double bytes = 0;  // keys and values of the visited ranks, queries, outputs

    pair_count & operator+=(const pair_count & other);
};

struct node_shape {
    int64_t n_head = 0;
    int64_t n_head_kv = 0;
    int64_t n_kv = 0;
    int64_t d_qk = 0;
    int64_t d_v = 0;
    int64_t n_dense_head = 0;  // heads that keep all keys in a planned layer
    double kv_bytes_per_elem = 0;
};

// What selection kept of a node's selected segments.
struct selected_pairs {
    std::span<const uint8_t> marks;  // selected_marks()
    double kept = 0;                 // over all heads
};

// REQUIRES `segments` are make_segments() of `found`.
pair_count count_pairs(const ubatch_runs & found, const std::vector<attention_segment> & segments,
                       const node_shape & shape, const selected_pairs & selected = {});

}  // namespace tmx
