// random_cases.h -- attention calls drawn at random: every feature of cases.h, mixed.
#pragma once

#include <cstdint>

#include "cases.h"

namespace tmx::test {

// The `index`-th case of a seed; the same on every platform.
test_case random_case(uint64_t seed, int64_t index);

}  // namespace tmx::test
