// How a block of scratch memory grows. Pure arithmetic, so that it is tested without a device.
#pragma once

#include <algorithm>
#include <cstdint>

namespace tmx::cuda {

struct scratch_growth {
    int64_t bytes = 0;   // of the new block; 0: what is needed is not allowed
    bool waits = false;  // the old block must be gone first: both together would be more than allowed
};

// `held`: the block's size; `needed`: more than that. `others`: what else counts towards `allowed`.
constexpr scratch_growth grow_scratch(int64_t held, int64_t needed, int64_t others, int64_t allowed) {
    const int64_t room = allowed - others;
    if (needed > room) {
        return {};
    }
    // A prompt's ubatches need a little more each time: not all of them shall allocate.
    const int64_t bytes = std::min(std::max(needed, held + held / 2), room);
    return {bytes, held + bytes > room};
}

}  // namespace tmx::cuda
