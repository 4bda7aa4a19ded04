// eval/run/answer_distance.h -- how far one arm's next-token distributions behind a prompt are from another's: what the
// fidelity suite keeps of a prompt and an arm.
//
// NUMERICS Sums are in double, after the maximum is subtracted, as in runtime/fidelity.h.
// THREADS  Pure functions of their arguments; rows are spread over OpenMP's threads, with the same result
// for any number.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <span>
#include <vector>

#include "runtime/fidelity.h"
#include "runtime/model.h"
#include "runtime/session.h"

namespace tmx {

// Of the first token behind the prompt.
struct first_token_distance {
    double kl = 0;  // nats, reference || other
    double js = 0;  // Jensen-Shannon, nats
    bool same_top = true;
    double top5 = 1;  // share of the reference's five likeliest that are among the other's
    double top50 = 1;
    int64_t rank = 0;   // of the reference's first choice in the other, from 0
    double margin = 0;  // p1 - p2 of the reference
};

// Of the tokens forced behind it: positions that predict the second token and later ones.
struct following_distance {
    int64_t n = 0;
    double kl_mean = 0, kl_median = 0, kl_p95 = 0, kl_p99 = 0, kl_max = 0;
    int64_t flips = 0;      // positions whose argmax differs
    int64_t confident = 0;  // positions at which the reference is sure: margin above 0.1
    int64_t confident_flips = 0;
    double dp_mean = 0;  // of the forced token's probability: other - reference
    double dp_rms = 0;
    std::vector<double>
        kl_quarters;  // mean KL of each quarter of the positions, in their order; empty if fewer than four
};

first_token_distance compare_first(std::span<const float> reference, std::span<const float> other);

// rows: logits behind each forced token but the last one; forced: the tokens that they predict.
// REQUIRES equal sizes of all three.
following_distance compare_following(const logit_rows & reference, const logit_rows & other,
                                     std::span<const token_id> forced);

// Sum of the negative log-probabilities of tokens, each predicted by its row. REQUIRES equal sizes.
double negative_log_likelihood(const logit_rows & rows, std::span<const token_id> tokens);

// The same of tokens that are forced behind what the session's sequence holds; first: the logits behind that.
// REQUIRES a token at least.
double forced_likelihood(session & s, const std::vector<float> & first, std::span<const token_id> tokens);

nlohmann::ordered_json to_json(const first_token_distance & d);
nlohmann::ordered_json to_json(const following_distance & d);

}  // namespace tmx
