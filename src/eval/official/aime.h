// eval/official/aime.h -- AIME 2024, 30 problems with whole numbers 0 to 999 for answers: never a gate, since one
// of them is 3.3 points.
//
// Below the data folder: aime24/test.jsonl, each line with "problem" and "answer" ("Problem" and "Answer" are taken,
// too); for "long" also gsm8k/train.jsonl.
#pragma once

#include <memory>

#include "eval/task.h"

namespace tmx {

// name: "plain", or "long": behind as many solved problems of GSM8K as the request's budget holds.
// ERRORS failure: a file is missing or wrong.
std::unique_ptr<eval_task> open_aime(const eval_sources & sources, const char * name);

}  // namespace tmx
