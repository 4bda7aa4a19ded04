// eval/score/code_similarity.h -- LongBench's code_sim: how like the right line of code the first one written is.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace tmx {

// What fuzzywuzzy counts as matching depends on what is installed beside it: Python's difflib, or python-Levenshtein.
// The second is never lower, and 9.5 points higher on random short lines: results of the two must not be mixed.
enum class code_rule : uint8_t { difflib, lev };
const char * name_of(code_rule rule);

// Without newlines before it, the first line that holds none of "`", "#" and "//"; "" if there is none. A line of
// blanks counts, as in the original.
std::string first_code_line(std::string_view prediction);

// fuzz.ratio() / 100 of that line and the answer: 2 M / (characters of both) as a whole percentage, rounded to even
// at halves; 1 if they are equal, 0 if one is empty.
double code_similarity(std::string_view prediction, std::string_view answer, code_rule rule);

}  // namespace tmx
