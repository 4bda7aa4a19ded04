// cli/commands/eval_arms.h -- the arms of `trianglemix eval` as they are typed.
#pragma once

#include <string>
#include <vector>

#include "cli/options.h"
#include "eval/run/settings.h"

namespace tmx {

// What --help says about them.
extern const char * const k_arm_help;

// "dense" first, whether typed or not, then the others in their order, each once. plans: what "plan" stands for, and
// the sink, window, last rows and tail policy of every arm with a plan, and the precision of all arms (exact if not
// typed, whatever a plan says).
// ERRORS failure: an arm is not understood, or does not fit the model; says what there is.
std::vector<eval_arm> arms_of(const std::vector<std::string> & typed, const plan_options & plans,
                              const context_options & context, const model_facts & facts);

}  // namespace tmx
