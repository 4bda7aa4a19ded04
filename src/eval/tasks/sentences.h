// eval/tasks/sentences.h -- where a text's sentences end, by rule: no model of a language is needed.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace tmx {

// A sentence ends behind . ? or ! and the quotes and brackets that close there, if a blank follows and then a
// capital, a digit or an opening quote; not behind an initial ("J. Smith") or a usual abbreviation ("Dr."). The blank
// between two sentences belongs to neither. REQUIRES white space collapsed to single blanks.
std::vector<std::string_view> split_sentences(std::string_view text);

// Runs of white space become one blank; none is left at the ends.
std::string collapse_blanks(std::string_view text);

}  // namespace tmx
