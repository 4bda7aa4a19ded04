// eval/tasks/recited_lines.h -- an answer of a thousand tokens: a stretch of lines somewhere in a long list,
// word by word. A mistake in what the prompt left behind has all of the answer to show itself, and to grow.
#pragma once

#include <memory>

#include "eval/task.h"

namespace tmx {

// ERRORS failure: the sources lack words.
std::unique_ptr<eval_task> open_recited_lines(const eval_sources & sources, const char * name);

}  // namespace tmx
