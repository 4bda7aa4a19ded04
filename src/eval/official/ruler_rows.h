// eval/official/ruler_rows.h -- RULER's 13 tasks from rows that NVIDIA's scripts, or MInference's copy of them, made
// elsewhere: the only numbers that may be compared with published ones.
//
// Below the data folder, as the scripts lay them out: ruler/LENGTH/data/TASK/validation.jsonl (or without data/), made
// with --model_template_type base, since the chat template is the model's own here.
#pragma once

#include <memory>

#include "eval/task.h"

namespace tmx {

// In the model's chat template, with the row's answer prefix as the beginning of the answer (NVIDIA's way).
// ERRORS failure: a file is missing or wrong, rows hold a chat template, or have no answer prefix of their own.
std::unique_ptr<eval_task> open_ruler_rows(const eval_sources & sources, const char * name);

// As raw text behind BOS, also for models with a chat template (the way of TriangleMix's published numbers).
std::unique_ptr<eval_task> open_ruler_raw_rows(const eval_sources & sources, const char * name);

}  // namespace tmx
