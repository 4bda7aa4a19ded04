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
    float skip_factor = 0;              // as in attention_args
    const std::string * way = nullptr;  // for the counters: kernel, precision and plan in force; null: unknown
    rotary_layout rotary = {};          // of the layer's queries and keys, for a method that must know it

    // Layers of one evaluation with the same number are treated alike; 0: exactly.
    int32_t id() const { return heads != nullptr ? heads->id : 0; }
    bool planned() const { return id() != 0; }
    bool banded() const { return heads != nullptr && heads->banded; }
    // How many rules select blocks of a run, the first ones of the layer's.
    size_t n_in_force(const causal_run & run) const {
        return heads != nullptr ? heads->n_in_force(run.rank_begin + run.rows()) : 0;
    }
    // Whether the plan leaves out keys of a run, if the order of these is certain; else it is dense.
    bool treats(const causal_run & run) const { return banded() || n_in_force(run) > 0; }
    // [n_head] as in attention_args; null: none.
    const uint8_t * dense_head() const {
        return heads != nullptr && !heads->dense_head.empty() ? heads->dense_head.data() : nullptr;
    }
};

// Segments of one attention node. Their `cells` point into `found`, which must outlive them.
//
// A dense layer's runs, runs that the plan does not treat or in which the order of the keys is not certain, and all
// masked rows take one segment each. Any other run is cut by resolve_segments; the prompt's length counts only where
// the ubatch holds one run and that run lies inside the prompt. The rows have no band (k_no_band) if the layer is
// dynamic and not triangle, too.
std::vector<attention_segment> make_segments(const ubatch_runs & found, const layer_rule & rule);

// The marks of these segments: how many of the layer's rules are in force. Empty where no segment is selected: no rule
// is in force, or every row is dense.
std::vector<uint8_t> selected_marks(const ubatch_runs & found, const std::vector<attention_segment> & segments,
                                    const layer_rule & rule);

// The request for a layer with these marks.
class layer_request {
  public:
    // REQUIRES a rule with selections; `marks`, one of them not 0. Rule and marks must outlive this.
    layer_request(const layer_rule & rule, std::span<const uint8_t> marks, int64_t n_head_kv);
    layer_request(const layer_request &) = delete;  // a request points into it
    layer_request & operator=(const layer_request &) = delete;

    const selection_request & request() const { return request_; }

  private:
    std::vector<selection_rule> rules_;
    selection_request request_;
};

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

    double pair_flops() const { return 2.0 * static_cast<double>(d_qk + d_v); }
};

// What count_pairs() says of all segments but those that are selected; of these it counts the bytes.
// REQUIRES `segments` are make_segments() of `found`, `marks` are theirs or empty.
pair_count count_pairs(const ubatch_runs & found, const std::vector<attention_segment> & segments,
                       const node_shape & shape, std::span<const uint8_t> marks = {});

}  // namespace tmx
