// eval/score/gsm_infinite_answer.h -- which number, or which variables, an answer to a GSM-Infinite problem gives.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <string_view>

namespace tmx {

// The number behind the first "Answer: " of the file's solution, up to the next ".".
std::optional<std::string> solution_number(std::string_view solution);

// Ours, the default. Behind "</think>": the last \boxed{} with a whole number, else the last number behind "answer:",
// else the last one behind "is" or "=" in the last sentence, else the last one at all.
std::optional<std::string> robust_number(std::string_view text);

// As pred/eval_realistic.py of the official repository finds it: markers in a fixed order, mostly where they occur
// first, and the text behind them if Python's int() takes all of it.
std::optional<std::string> official_number(std::string_view text);

// `symbolic-regex`, ours (the official one asks a second model): all words of the form V123 behind the last "answer",
// "final" or "therefore"; where none follows, those of the last paragraph.
std::set<std::string> named_variables(std::string_view text);

}  // namespace tmx
