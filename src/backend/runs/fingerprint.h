// Whether a ubatch's inputs still are what they were.
#pragma once

#include <cstdint>

#include "backend/runs/ubatch_runs.h"

namespace tmx {

// Changes when another ubatch's mask or output rows lie where this one's did. Reads three mask rows a run.
uint64_t fingerprint(const ubatch_view & view, const ubatch_runs & found);

}  // namespace tmx
