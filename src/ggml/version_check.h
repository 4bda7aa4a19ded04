// Whether the running ggml is the one this library was built for. Its interface tables are filled by position and
// change without a new API version, so anything else must not be served.
#pragma once

#include <string>
#include <string_view>

namespace tmx {

struct ggml_build {
    std::string_view version;  // ggml_version(): "0.25.3"
    std::string_view commit;   // ggml_commit(): "0c1e570", "0c1e57098-dirty", "unknown"
};

// "" if `running` may be served, else a sentence that names both and says what to do. Where a commit is not known,
// versions alone decide (commit/commit_name.h).
std::string version_refusal(const ggml_build & built, const ggml_build & running);

}  // namespace tmx
