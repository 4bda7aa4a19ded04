// Which numbers hold a share of a sum: for methods with a budget of mass.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace tmx {

// Numbers 0, 1, ... by falling mass, ties to the lower one; `first_forced`: 0 before all. What is no number counts as
// the largest.
std::vector<int32_t> by_falling_mass(std::span<const float> masses, bool first_forced);

// How many of that order reach `share` of all mass, the one that reaches it included; all if share is 1, or if the sum
// is no number.
int64_t number_that_reaches(std::span<const float> masses, std::span<const int32_t> order, double share);

}  // namespace tmx
