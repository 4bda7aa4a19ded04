// eval/score/choice_letter.h -- which of A to D an answer to a LongBench v2 question names.
#pragma once

#include <optional>
#include <string_view>

namespace tmx {

// After deleting every "*": the first "The correct answer is (X)", else the first "The correct answer is X"; nothing
// else counts, and case matters.
std::optional<char> choice_letter(std::string_view text);

}  // namespace tmx
