// cli/commands/profile_menu.h -- `profile --menu`: the planner at the command line.
#pragma once

#include "cli/commands/profile_options.h"
#include "cli/commands/profile_outputs.h"
#include "prompts/prompt_pool.h"
#include "runtime/backend.h"

namespace tmx {

// Measures, writes the files that were asked for, and shows what was found. ERRORS failure, interrupted.
void run_menu(const profile_options & options, const planner_settings & settings, backend & b, const model & m,
              const prompt_pool & prompts, const invocation & call);

}  // namespace tmx
