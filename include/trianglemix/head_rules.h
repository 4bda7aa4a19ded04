// trianglemix/head_rules.h -- what a plan means for the heads of each layer: compiled once from the plan, asked for
// every attention node.
//
// Every rule has a number, and so has what all heads of a layer do together: within one compiled plan, equal numbers
// mean the same treatment, so what was prepared for one layer serves every layer of its number.
//
// THREADS  Plain values; a compiled plan may be read by any number of threads.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "trianglemix/plan.h"
#include "trianglemix/selection_rule.h"

namespace tmx {

// What a head keeps, but for a prompt's last rows, which keep everything: all keys (neither of the two), those of the
// plan's band, those of selected blocks, or both.
struct head_rule {
    int32_t id = 0;  // 0: all keys
    bool banded = false;
    std::optional<selection_rule> selection;

    bool dense() const { return !banded && !selection; }
};

struct layer_heads {
    int32_t id = 0;  // 0: every head is dense
    head_rule rule;  // of every head that is not exempt
    // [n_head] as in attention_args: non-zero: exempt, that head is dense; empty: none
    std::vector<uint8_t> dense_head;

    // False: the rule is made for another number of heads.
    bool fits(int64_t n_head) const { return dense_head.empty() || static_cast<int64_t>(dense_head.size()) == n_head; }
};

class compiled_rules {
  public:
    compiled_rules() : compiled_rules(plan{}) {}  // every head of every layer is dense
    explicit compiled_rules(const plan & p);

    // What a layer's heads do; layers of which the plan knows nothing are dense. Good as long as this object.
    const layer_heads & of_layer(int32_t layer) const;

  private:
    std::vector<head_rule> rules_;    // by id
    std::vector<layer_heads> heads_;  // by id
    std::vector<int32_t> layers_;     // [layers of the plan] id in heads_
};

}  // namespace tmx
