// Argument checks of attention_forward, apart from what it computes.
#pragma once

#include <span>

#include "trianglemix/attention.h"

namespace tmx {

status validate(const attention_args & args, std::span<const attention_segment> segments, const cpu_context & ctx);

}  // namespace tmx
