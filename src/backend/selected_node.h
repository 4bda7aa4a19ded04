// What selection kept in an attention node, rule by rule. Known once the node is computed, which may be long after it
// was planned.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "backend/segments.h"
#include "trianglemix/selection.h"

namespace tmx {

// Of the heads of one rule, in the rows that it selects for.
struct selection_counts {
    int64_t nodes = 0;
    int64_t timed_nodes = 0;  // of them, those whose seconds are known
    double kept = 0;          // pairs
    double causal = 0;        // pairs that a dense layer would keep there
    double seconds = 0;       // of selecting alone

    selection_counts & operator+=(const selection_counts & other);
};

// A rule by its name: format_selection().
struct named_counts {
    std::string rule;
    selection_counts counts;
};

// What the selected segments of one node add to its counts.
struct selected_record {
    pair_count pairs;  // bytes are 0: count_pairs() has them
    std::vector<named_counts> rules;
};

class selected_node {
  public:
    selected_node(const selection_request & request, std::span<const attention_segment> segments,
                  const node_shape & shape);

    // kept: as selected_attention_forward() adds them up. seconds: likewise; empty: not known.
    selected_record record(std::span<const int64_t> kept, std::span<const double> seconds) const;

    // Nobody knows what was kept: nothing is claimed to be skipped.
    selected_record record_of_all() const;

  private:
    std::vector<std::string> rules_;
    std::vector<int64_t> causal_;  // as `kept`
    double pair_flops_;
};

}  // namespace tmx
