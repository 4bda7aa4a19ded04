// Which ggml one is. The backend only passes it on to the statistics.
#pragma once

#include <string_view>

namespace tmx {

struct ggml_build {
    std::string_view version;  // ggml_version(): "0.25.3"
    std::string_view commit;   // ggml_commit(): "0c1e570", "0c1e57098-dirty", "unknown"
};

}  // namespace tmx
