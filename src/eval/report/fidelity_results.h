// eval/report/fidelity_results.h -- what the fidelity suite says of an arm at one length, beside the noise floor.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "eval/report/paired_records.h"
#include "eval/report/task_results.h"

namespace tmx {

// Means over prompts with 95% intervals by bootstrap over prompts, not positions.
struct fidelity_result {
    int64_t length = 0;
    std::string arm;
    int64_t n = 0;             // prompts
    mean_difference first_kl;  // nats
    double first_same = 1;     // share of prompts whose first token is the same
    double first_top5 = 1;
    double first_js = 0;
    mean_difference following_kl;  // nats a token
    double following_kl_p95 = 0;   // mean of the prompts' 95th percentiles
    double following_kl_max = 0;
    std::vector<double>
        following_kl_quarters;   // of the following tokens, in their order: whether an answer parts further
                                 // from dense as it grows; empty if fewer than four follow
    mean_difference flips;       // share of positions
    double confident_flips = 0;  // of positions of which the reference is sure
    double all_spoken_same = 1;  // share of prompts answered with the same tokens throughout
    double same_prefix = 1;      // mean share of the answer until the first difference
    mean_difference log_ratio;   // of perplexities of the document's continuation: mean nll difference
    double perplexity_reference = 0;
    double kept = 1;                            // share of the pairs of all layers that were computed
    double ttft_reference = 0, ttft_other = 0;  // medians, seconds
    verdict perplexity_verdict = verdict::inconclusive;
    verdict flips_verdict = verdict::inconclusive;  // against the noise arm's flips on the same prompts
    double floor_first_kl = -1, floor_following_kl = -1, floor_flips = -1;  // the noise arm's; < 0: none was run
};

// Of all arms, by length. The first arm whose role is `noise` is the floor of the others.
std::vector<fidelity_result> summarise_fidelity(const std::vector<arm_pairs> & arms, const eval_margins & margins);

}  // namespace tmx
