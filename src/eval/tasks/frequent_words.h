// eval/tasks/frequent_words.h -- RULER's cwe and fwe: which words of a list, and of a coded text, are most frequent.
#pragma once

#include <memory>

#include "eval/task.h"

namespace tmx {

// "cwe". ERRORS failure: the sources have too few words.
std::unique_ptr<eval_task> open_common_words(const eval_sources & sources, const char * name);

// "fwe": no sources are needed.
std::unique_ptr<eval_task> open_coded_words(const eval_sources & sources, const char * name);

}  // namespace tmx
