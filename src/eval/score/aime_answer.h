// eval/score/aime_answer.h -- the number that an answer to an AIME problem gives: 0 to 999.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace tmx {

// Behind "</think>": the last \boxed{} that holds one whole number, which \text{}, dollars, blanks and degrees may
// stand around, else the last "answer is n" (or "answer: n"), else the last whole number. Leading zeros are dropped.
std::optional<std::string> aime_answer(std::string_view text);

}  // namespace tmx
