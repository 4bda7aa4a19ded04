// Argument checks, apart from what is computed; on every kind of device the same.
#pragma once

#include <span>

#include "trianglemix/attention.h"

namespace tmx {

status validate_pointers(const attention_args & args);
status validate_shape(const attention_args & args);
status validate_segments(const attention_args & args, std::span<const attention_segment> segments);
// REQUIRES valid segments.
status validate_lists(const attention_args & args, std::span<const attention_segment> segments,
                      std::span<const block_lists> lists);

// All that attention_forward() of the CPU requires.
status validate(const attention_args & args, std::span<const attention_segment> segments, const cpu_context & ctx);

}  // namespace tmx
