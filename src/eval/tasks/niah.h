// eval/tasks/niah.h -- RULER's eight needles in a haystack: sentences that give a key's value, hidden in a text; asked
// are the values of some keys.
#pragma once

#include <memory>

#include "eval/task.h"

namespace tmx {

// name: "niah_single_1" ... "niah_multiquery". ERRORS failure: the sources lack a text or words that it needs.
std::unique_ptr<eval_task> open_niah(const eval_sources & sources, const char * name);

// One five-sentence line of the noise haystack.
extern const char * const k_noise_line;

}  // namespace tmx
