// eval/official/gsm_infinite_rows.h -- GSM-Infinite (Zhou et al., arXiv 2502.05252) from its official data: problems of
// arithmetic that take `op` operations, in contexts full of statements that lead nowhere.
//
// Below the data folder: gsm_infinite/NAME.jsonl, one of the hub's sets as JSON lines with their fields as they are.
#pragma once

#include <memory>

#include "eval/task.h"

namespace tmx {

// name: "symbolic_8k", "medium_16k", "hard_0", ... ERRORS failure: a file is missing or wrong.
std::unique_ptr<eval_task> open_gsm_infinite_rows(const eval_sources & sources, const char * name);

}  // namespace tmx
