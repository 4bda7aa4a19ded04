// eval/tasks/niah.h -- RULER's eight needles in a haystack: sentences that give a key's value, hidden in a text; asked
// are the values of some keys.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "eval/task.h"
#include "eval/tasks/haystack.h"

namespace tmx {

// name: "niah_single_1" ... "niah_multiquery". ERRORS failure: the sources lack a text or words that it needs.
std::unique_ptr<eval_task> open_niah(const eval_sources & sources, const char * name);

// What stands before and behind a context with needles, and how the answer begins. queries: the keys that
// are asked for.
struct needle_wording {
    std::string before;
    std::string question;
    std::string answer_prefix;
};
needle_wording ask_for_needles(value_kind value, const std::vector<std::string> & queries, bool one_value);

}  // namespace tmx
