// plain.h -- attention as one would first write it, in a kernel's own precision: the yardstick of compare.h.
#pragma once

#include <cstdint>
#include <span>

#include "trianglemix/attention.h"

namespace tmx::test {

// What queries, keys, values and softmax weights are rounded to before they are multiplied.
enum class rounding : uint8_t { f32, bf16, f16 };

constexpr rounding rounding_of(precision arithmetic) {
    return arithmetic == precision::fast ? rounding::bf16 : rounding::f32;
}

// Two passes over each row's kept keys, every sum in f32, in the order of the keys, one accumulator. Computes the rows
// that oracle_attention() computes; REQUIRES what attention_forward() requires.
void plain_attention(const attention_args & args, std::span<const attention_segment> segments, rounding operands,
                     int64_t row_step = 1);

inline void plain_attention(const attention_args & args, std::span<const attention_segment> segments,
                            precision arithmetic, int64_t row_step = 1) {
    plain_attention(args, segments, rounding_of(arithmetic), row_step);
}

}  // namespace tmx::test
