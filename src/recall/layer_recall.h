// recall/layer_recall.h -- how much of the attention of one captured layer a rule keeps: its weights, its pairs, and
// how far its output is from dense attention's.
//
// RECALL of a row and head is the sum of dense attention's weights over the keys that are kept. The kernels give it:
// exp(lse of what is kept - lse of all). The prompt is cut into ubatches, as a host cuts it, and each is selected for
// itself; no row is dense because it is among the last.
#pragma once

#include <cstdint>
#include <vector>

#include "recall/capture_file.h"
#include "trianglemix/attention.h"
#include "trianglemix/selection_rule.h"

namespace tmx {

constexpr int64_t k_deciles = 10;  // of the prompt's rows

struct recalled {
    double density = 0;           // kept pairs of the causal ones, all heads
    double recall = 0;            // mean over rows and heads
    double error = 0;             // |output - dense output| / |dense output|; not of an oracle
    std::vector<double> by_head;  // [n_head * k_deciles] mean recall of a decile's rows
};

struct recall_options {
    int32_t n_threads = 1;
    int64_t n_ubatch = 2048;
    bool per_query_head = false;  // each head visits its own blocks, also where the method shares them in a group
};

// ERRORS of all: failure, with what a kernel or method said.
class layer_recall {
  public:
    layer_recall(const capture_facts & facts, captured_layer layer, const recall_options & options);

    recalled of_rule(const selection_rule & rule);
    recalled of_band(const band & kept);

    // The fewest blocks of 128 keys of each tile and head that hold these shares of the tile's weights, mandatory ones
    // among them: what no selection of such blocks can beat. One result a share.
    std::vector<recalled> of_oracle(const std::vector<double> & shares) const;

  private:
    capture_facts facts_;
    captured_layer layer_;
    recall_options options_;
    cpu_context context_;
    std::vector<float> out_, lse_;              // of what was asked for last
    std::vector<float> dense_out_, dense_lse_;  // [row, head, d_v], [head, row]

    attention_args args();
    std::vector<attention_segment> ubatches(const band & kept) const;
    double all_pairs() const;
    recalled compared(double kept_pairs) const;
};

}  // namespace tmx
