// eval/score/class_match.h -- LongBench's classification score (trec).
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace tmx {

// 1 / n if the right class is among the n classes that the prediction names, else 0. Classes that are a part of the
// right class's name are taken from the list first, and as in the original the one behind a class that was taken is not
// looked at.
double class_match(std::string_view prediction, std::string_view answer, const std::vector<std::string> & classes);

}  // namespace tmx
