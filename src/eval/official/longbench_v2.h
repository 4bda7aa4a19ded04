// eval/official/longbench_v2.h -- LongBench v2 (Bai et al., arXiv 2412.15204) from its official files: questions with
// four choices on long contexts.
//
// Below the data folder: longbench_v2/data.json (one array of rows) and longbench_v2/prompts/0shot.txt.
#pragma once

#include <memory>

#include "eval/task.h"

namespace tmx {

// name: "v2", whose answer is read out of a text as officially, or "v2_logit", ours: the likeliest of the four letters
// behind "The correct answer is". ERRORS failure: a file is missing or wrong.
std::unique_ptr<eval_task> open_longbench_v2(const eval_sources & sources, const char * name);

}  // namespace tmx
