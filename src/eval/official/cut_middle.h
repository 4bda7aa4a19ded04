// eval/official/cut_middle.h -- prompts that are too long lose their middle, as LongBench does it.
#pragma once

#include "eval/task.h"

namespace tmx {

// A user turn of more than `most` tokens, BOS included, keeps half of them at each end: these are made text again and
// joined. That text may have a few tokens more; then a little more is cut, until prompt and answer fit the request's
// budget (0: no budget). Says so in meta["cut"], and moves question_at with the text. e has one turn.
// most: < 0: as many as the budget leaves beside template and answer.
// ERRORS failure: the budget leaves no room for a prompt.
void cut_middle(eval_example & e, int64_t most, const example_request & request);

}  // namespace tmx
