// eval/run/answer_group.h -- one arm answers several examples: their prompts one after the other, then all answers
// together.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "eval/run/arm_sessions.h"
#include "eval/run/prediction.h"

namespace tmx {

struct asked {
    eval_example example;
    rendered_example rendered;
};

// Greedy answers, in the order of the group. Generated tokens attend densely to everything.
// progress: share of the group's prompt tokens; may be empty.
// REQUIRES at most settings.n_together examples. ERRORS failure, interrupted.
std::vector<answered> answer_group(arm_sessions & sessions, const eval_arm & a, std::span<const asked> group,
                                   const std::function<void(double)> & progress);

}  // namespace tmx
