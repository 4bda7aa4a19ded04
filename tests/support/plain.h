// plain.h -- attention as one would first write it, in a kernel's own precision: the yardstick of compare.h.
#pragma once

#include <cstdint>
#include <span>

#include "trianglemix/attention.h"

namespace tmx::test {

// Two passes over each row's kept keys, every sum in f32, in the order of the keys, one accumulator. `fast` rounds
// queries, keys, values and softmax weights to bf16 before they are multiplied. Computes the rows that
// oracle_attention() computes; REQUIRES what attention_forward() requires.
void plain_attention(const attention_args & args, std::span<const attention_segment> segments, precision arithmetic,
                     int64_t row_step = 1);

}  // namespace tmx::test
