// eval/score/matching_characters.h -- how many characters two texts have in common, by two rules.
#pragma once

#include <cstddef>
#include <string_view>

namespace tmx {

// As Python's difflib.SequenceMatcher(None, a, b): the longest block in common, then the same on either side of it. In
// b of 200 characters and more, those that make up over 1 % of it do not begin a block.
size_t matching_by_blocks(std::u32string_view a, std::u32string_view b);

// The length of a longest common subsequence.
size_t longest_common(std::u32string_view a, std::u32string_view b);

}  // namespace tmx
