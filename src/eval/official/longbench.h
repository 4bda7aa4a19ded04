// eval/official/longbench.h -- LongBench (Bai et al., arXiv 2308.14508) from its official files: the English datasets,
// and those of LongBench-E. Prompts and lengths of answers are those of the user's config files; without, it refuses.
//
// Below the data folder, as the repository and its archive lay them out: longbench/config/dataset2prompt.json,
// longbench/config/dataset2maxlen.json, longbench/data/NAME_e.jsonl (LongBench-E) or longbench/data/NAME.jsonl.
#pragma once

#include <memory>

#include "eval/task.h"

namespace tmx {

// A prompt loses its middle where it does not fit the request's budget: the longest of a run's lengths.
// ERRORS failure: a file is missing or wrong.
std::unique_ptr<eval_task> open_longbench_e(const eval_sources & sources, const char * name);
std::unique_ptr<eval_task> open_longbench(const eval_sources & sources, const char * name);

}  // namespace tmx
