// eval/tasks/variable_tracking.h -- RULER's vt: a chain of assignments hidden among noise lines; asked are all
// variables that have the value at its beginning.
#pragma once

#include <memory>

#include "eval/task.h"

namespace tmx {

std::unique_ptr<eval_task> open_variable_tracking(const eval_sources & sources, const char * name);

}  // namespace tmx
