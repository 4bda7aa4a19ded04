// Bits of a segment whose heads select by several rules.
#pragma once

#include "select/methods.h"

namespace tmx {

// Adds what each head keeps by itself, but for what every selection keeps; seconds[rule], if not null, gets the time
// that the rule took. REQUIRES heads that differ; valid arguments (select.cpp); `bits` of the segment's shape, all 0.
status select_of_heads(const selection_request & request, const cpu_selection_call & call, uint8_t mark,
                       block_bitmap & bits, double * seconds);

}  // namespace tmx
