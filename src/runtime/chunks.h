// runtime/chunks.h -- how a prompt is cut into the pieces that go through the model one after the other.
#pragma once

#include <cstdint>
#include <vector>

#include "trianglemix/geometry.h"

namespace tmx {

// Cuts [0, n_tokens) into chunks of at most `chunk` tokens. The last chunk holds at least `min_last` tokens, or the
// whole prompt if that is shorter: the rows that a triangle layer keeps dense then lie in one chunk, together with the
// row whose logits are asked for. The tokens it needs are taken from the chunk before it.
//
// REQUIRES n_tokens >= 0; chunk >= 1; 0 <= min_last. A min_last above `chunk` counts as `chunk`.
std::vector<index_range> cut_chunks(int64_t n_tokens, int64_t chunk, int64_t min_last);

}  // namespace tmx
