// By which rules a plan selects blocks, and in which layers, as the log and the statistics say it.
#pragma once

#include <string>
#include <vector>

#include "trianglemix/plan.h"

namespace tmx {

struct selection_text {
    std::string rule;    // the method and its parameters' values: "stride 10"
    std::string layers;  // "0-9"
};

// One for each rule that differs, in the order of their first layers.
std::vector<selection_text> selection_texts(const plan & p);

}  // namespace tmx
