// eval/score/gsm8k_answer.h -- the number that an answer to a GSM8K problem gives.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace tmx {

// What stands behind the last "#### " of the file's answer.
std::optional<std::string> gsm8k_gold(std::string_view answer);

// As lm-evaluation-harness's two filters find it, but numbers are compared as such (there 18.0 is not 18), and a run
// of dots or dollars is no number. Both look only at what stands before a next "Question:", which models that are shown
// examples go on with.
std::optional<std::string> gsm8k_strict(std::string_view text);    // behind the first "#### "
std::optional<std::string> gsm8k_flexible(std::string_view text);  // the last number

}  // namespace tmx
