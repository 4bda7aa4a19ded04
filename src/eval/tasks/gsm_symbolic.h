// eval/tasks/gsm_symbolic.h -- GSM-Infinite's symbolic problems (Zhou et al., arXiv 2502.05252), made here: assignments
// of variables, of which `op` hang together with a known value; which have the value asked for?
#pragma once

#include <memory>

#include "eval/task.h"

namespace tmx {

std::unique_ptr<eval_task> open_gsm_symbolic(const eval_sources & sources, const char * name);

}  // namespace tmx
