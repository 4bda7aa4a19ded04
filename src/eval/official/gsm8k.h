// eval/official/gsm8k.h -- GSM8K (Cobbe et al., arXiv 2110.14168) from its official files: word problems of
// primary school.
//
// Below the data folder: gsm8k/test.jsonl and gsm8k/train.jsonl. Without solved examples before them the problems are
// too short for a sparse prefill to do anything.
#pragma once

#include <memory>

#include "eval/task.h"

namespace tmx {

// name: "8_shot" (eight solved examples), or "long" (as many as the request's budget holds).
// ERRORS failure: a file is missing or wrong.
std::unique_ptr<eval_task> open_gsm8k(const eval_sources & sources, const char * name);

}  // namespace tmx
