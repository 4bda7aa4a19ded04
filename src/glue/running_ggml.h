// The ggml that this process runs.
#pragma once

#include "backend/ggml_build.h"

namespace tmx {

ggml_build running_ggml();

}  // namespace tmx
