// Whether the running ggml is the one this library was built for. Its interface tables are filled by position and
// change without a new API version, so anything else must not be served.
#pragma once

#include <string>

#include "backend/ggml_build.h"

namespace tmx {

// The ggml that this process runs.
ggml_build running_ggml();

// "" if `running` may be served, else a sentence that names both and says what to do. Where a commit is not known,
// versions alone decide (commit/commit_name.h).
std::string version_refusal(const ggml_build & built, const ggml_build & running);

}  // namespace tmx
