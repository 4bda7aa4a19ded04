// By which rules a plan selects blocks, and in which layers, as the log and the statistics say it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "trianglemix/plan.h"

namespace tmx {

struct selection_text {
    std::string rule;    // format_selection()
    std::string layers;  // "0-9"
    std::string heads;   // "0-3"; "": every head
    int64_t min_tokens = 0;

    std::string text() const;  // rule, heads and tokens
};

// One for each rule that differs, or is for other heads, in the order of their first layers.
std::vector<selection_text> selection_texts(const plan & p);

}  // namespace tmx
