#include "glue/version_check.h"

#include "commit/commit_name.h"
#include "glue/abi.h"

namespace tmx {
namespace {

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
    if (built.version == running.version && may_be_one_commit(built.commit, running.commit)) {
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
