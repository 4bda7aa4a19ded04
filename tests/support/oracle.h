// oracle.h -- attention in double precision, one pair at a time, straight from the comments of attention.h.
//
// It shares no code with the library: the rule of which pairs count is written out again here, and of geometry.h only
// the plain fields n_sink and n_window of `band` are read. Start here to see what a kernel must compute.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "trianglemix/attention.h"

namespace tmx::test {

// One value of a key or value row, decoded.
float element(const void * tensor, dtype type, int64_t offset);

// A key that some row and head keep: where it lies on the key axis, and what is added to its logit.
struct kept_key {
    int64_t index = 0;
    float bias = 0;
};

// Every key that query row `row` (of n_q) and `head` keep, in the order of their ranks (or indices, if masked).
std::vector<kept_key> kept_keys(const attention_args & args, const attention_segment & segment, int64_t head,
                                int64_t row);

// One output row, and how much rounding it may suffer (compare.h explains the sums).
struct oracle_row {
    int64_t batch = 0;
    int64_t head = 0;
    int64_t row = 0;
    double lse = 0;
    std::vector<double> out;    // [d_v]
    double largest_value = 0;   // max |v| over the kept keys; 0 if there are none
    double value_spread = 0;    // sqrt(sum_j p_j^2 * mean_d v_jd^2): rms change if each v_j p_j moved by its own size
    double operand_spread = 0;  // sum_j p_j * scale * sqrt(sum_d (q_d k_jd)^2): the same for the logits' products
    double logit_size = 0;      // sum_j p_j * (|scale q.k| + |bias|) + softcap
    double may_leave_out = 0;   // sum of p_j that a kernel may leave out: allow_skips()
};

// The rows of all segments in order; of a segment with more rows, only its first, its last and every `row_step`-th.
std::vector<oracle_row> oracle_attention(const attention_args & args, std::span<const attention_segment> segments,
                                         int64_t row_step = 1);

// What a call with args.skip_factor may leave out of each row, by weights alone and whatever the tiles: keys whose
// weight is below lambda of the row's largest. `segment`: masked, of rows that are the last ranks of the key axis.
// Logits near that border count, as far as operands rounded to bf16 may move them.
void allow_skips(const attention_args & args, const attention_segment & segment, std::vector<oracle_row> & rows);

// The rows that oracle_attention() computes of one segment.
std::vector<int64_t> checked_rows(const attention_segment & segment, int64_t row_step);

}  // namespace tmx::test
