// eval/score/number_share.h -- LongBench's scores of passage_count and passage_retrieval_en.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace tmx {

// The share of the prediction's numbers (runs of digits) that are written as `number` is; 0 if it has none.
double number_share(std::string_view prediction, std::string_view number);

// The number behind the first "Paragraph " that one follows.
std::optional<std::string> paragraph_number(std::string_view answer);

}  // namespace tmx
