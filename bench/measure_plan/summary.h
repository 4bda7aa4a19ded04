// bench/measure_plan/summary.h -- what the records of a stage say together.
#pragma once

#include <string>
#include <vector>

#include "records.h"

namespace tmx {

// Layers by mean damage, least first, from the ablate records of one precision. order_by: "first" or "all" positions.
std::vector<int32_t> order_layers(const std::vector<record> & records, const std::string & order_by,
                                  const std::string & precision);

// Prints, for each arm of the stage: mean, median and largest first-token KL, mean KL of the following tokens, and
// agreement; over all prompts and per kind.
void print_summary(const std::string & stage, const std::string & order_by, const std::string & precision,
                   const std::vector<record> & records);

}  // namespace tmx
