// eval/score/word_f1.h -- LongBench's qa_f1: the words that an answer and the right one share.
#pragma once

#include <string_view>

namespace tmx {

// Lower case, without ASCII punctuation (which leaves no blank behind) and without the words a, an, the; then F1 of the
// two multisets of words; 0 if they share none.
double word_f1(std::string_view prediction, std::string_view answer);

}  // namespace tmx
