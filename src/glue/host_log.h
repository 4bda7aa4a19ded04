// ggml's log, for what knows no ggml.
#pragma once

#include "backend/log.h"

namespace tmx {

void host_log(log_level level, const char * line);

}  // namespace tmx
