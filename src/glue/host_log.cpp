#include "glue/host_log.h"

#include "glue/abi.h"

namespace tmx {

void host_log(log_level level, const char * line) {
    switch (level) {
        case log_level::info:
            GGML_LOG_INFO("TriangleMix: %s\n", line);
            break;
        case log_level::warning:
            GGML_LOG_WARN("TriangleMix: %s\n", line);
            break;
        case log_level::error:
            GGML_LOG_ERROR("TriangleMix: %s\n", line);
            break;
    }
}

}  // namespace tmx
