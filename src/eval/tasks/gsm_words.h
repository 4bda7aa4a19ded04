// eval/tasks/gsm_words.h -- `gsm-inf-lite`: GSM-Infinite's idea with word problems of our own. Statements that start
// from the problem's numbers but never lead to the one asked for fill the context: none can be left out by sight.
#pragma once

#include <memory>

#include "eval/task.h"

namespace tmx {

std::unique_ptr<eval_task> open_gsm_words(const eval_sources & sources, const char * name);

}  // namespace tmx
