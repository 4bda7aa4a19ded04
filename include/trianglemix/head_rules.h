// trianglemix/head_rules.h -- what a plan means for the heads of each layer: compiled once from the plan, asked for
// every attention node.
//
// What all heads of a layer do together has a number: within one compiled plan, equal numbers mean the same treatment,
// so what was prepared for one layer serves every layer of its number.
//
// THREADS  Plain values; a compiled plan may be read by any number of threads.
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "trianglemix/plan.h"
#include "trianglemix/selection_rule.h"

namespace tmx {

// What the heads of a layer keep, but for a prompt's last rows, which keep everything: all keys (neither of the two),
// those of a band, those of selected blocks, or both.
struct layer_heads {
    int32_t id = 0;       // 0: every head is dense
    bool banded = false;  // heads that are not exempt keep a band
    own_band own;         // sink and window of it, where they are not the plan's
    // By what blocks are selected, in ascending order of min_tokens; empty: none are.
    std::vector<dynamic_rule> rules;
    // [n_head] as in head_selections: a number in `rules`, or what the head does instead; empty: every head selects by
    // the first, if there is one.
    std::vector<int32_t> rule_of_head;
    // [n_head] as in attention_args: non-zero: exempt, that head is dense; empty: none
    std::vector<uint8_t> dense_head;

    bool dense() const { return !banded && rules.empty(); }

    // Whether heads differ.
    bool by_head() const { return !dense_head.empty() || !rule_of_head.empty(); }

    // What heads do whose rule is not in force.
    int32_t otherwise() const { return banded ? k_keeps_band : k_keeps_all; }

    // How many of the rules, the first ones, are in force for a sequence of that many keys.
    size_t n_in_force(int64_t n_keys) const;

    // False: the rule is made for another number of heads.
    bool fits(int64_t n_head) const;

    // But for the number.
    bool does_the_same(const layer_heads & other) const;
};

// Heads [first, first + n) of a layer that has `total`: those that are computed together, where several devices share a
// layer.
struct head_range {
    int64_t first = 0;
    int64_t n = 0;
    int64_t total = 0;  // < 0: not known, nor is `first`

    static head_range all(int64_t n) { return {.first = 0, .n = n, .total = n}; }
    bool known() const { return total >= 0; }
    bool whole() const { return n == total; }
};

class compiled_rules {
  public:
    compiled_rules() : compiled_rules(plan{}) {}  // every head of every layer is dense
    explicit compiled_rules(const plan & p);

    // What a layer's heads do; layers of which the plan knows nothing are dense. Good as long as this object.
    const layer_heads & of_layer(int32_t layer) const;

    // The same for some heads of a layer. It has a number of its own if that differs from what all heads do together.
    // REQUIRES range.known(), all.fits(range.total), `all` is of this object. THREADS  One at a time.
    const layer_heads & part_of(const layer_heads & all, const head_range & range);

  private:
    std::vector<layer_heads> heads_;  // by id
    std::deque<layer_heads> parts_;   // their ids go on from there
    std::vector<int32_t> layers_;     // [layers of the plan] id in heads_
};

}  // namespace tmx
