#include "glue/version_check.h"

#include <algorithm>
#include <string_view>

#include "glue/abi.h"

namespace tmx {
namespace {

std::string_view clean(std::string_view commit) {
    constexpr std::string_view k_dirty = "-dirty";
    if (commit.ends_with(k_dirty)) {
        commit.remove_suffix(k_dirty.size());
    }
    return commit == "unknown" ? std::string_view{} : commit;
}

std::string named(const ggml_build & build) {
    std::string text(build.version);
    text += " (";
    text += build.commit;
    text += ")";
    return text;
}

}  // namespace

ggml_build running_ggml() {
    return {ggml_version(), ggml_commit()};
}

std::string version_refusal(const ggml_build & built, const ggml_build & running) {
    const std::string_view a = clean(built.commit);
    const std::string_view b = clean(running.commit);
    const size_t n = std::min(a.size(), b.size());
    if (built.version == running.version && a.substr(0, n) == b.substr(0, n)) {
        return "";
    }
    std::string text = "this library was built for ggml ";
    text += named(built);
    text += ", the running program has ggml ";
    text += named(running);
    text +=
        "; not registering. Build it against this program's llama.cpp: "
        "cmake -DTMX_LLAMA_CPP='SOURCE;BUILD'";
    return text;
}

}  // namespace tmx
