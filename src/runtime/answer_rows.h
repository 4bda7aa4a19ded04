// runtime/answer_rows.h -- the logits by which one way of computing a prompt is compared with another.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "runtime/arm.h"

namespace tmx {

// Behind a prompt that prefill_arm() computed: logits of the first token and behind each token of `continuation`. Where
// that is empty, it becomes what the model itself says, of n_following tokens.
// first: what prefill_arm() returned. ERRORS failure; interrupted.
logit_rows answer_rows(backend & b, const model & m, const arm & a, session & s, std::span<const token_id> prompt,
                       token_id first, int64_t n_following, std::vector<token_id> & continuation);

}  // namespace tmx
