// eval/tasks/made_questions.h -- stand-ins for RULER's qa_1 and qa_2 (SQuAD and HotpotQA): questions about invented
// people, of one and of two hops, among paragraphs about others.
#pragma once

#include <memory>

#include "eval/task.h"

namespace tmx {

std::unique_ptr<eval_task> open_made_questions(const eval_sources & sources, const char * name);

}  // namespace tmx
