// eval/score/answer_match.h -- RULER's scores: which of the right answers are somewhere in the text.
//
// As in RULER's scripts/eval: no normalising but of case, so "no" is also found in "north".
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace tmx {

// Without blanks around it, and with newlines for control characters: what RULER scores, and what is kept on file.
std::string clean_answer(std::string_view text);

// `all`: the share of the answers that the text holds. REQUIRES answers not empty.
double share_of_answers(std::string_view text, const std::vector<std::string> & answers);

// `part`: 1 if it holds any of them, else 0.
double any_answer(std::string_view text, const std::vector<std::string> & answers);

}  // namespace tmx
