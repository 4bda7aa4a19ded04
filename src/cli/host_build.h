// cli/host_build.h -- how somebody's llama.cpp program was built, and so how it will load our backend.
#pragma once

#include <cstdint>
#include <string>

namespace tmx {

enum class host_kind : uint8_t {
    dynamic,     // loads its backends at run time: GGML_BACKEND_PATH is enough
    linked,      // its backends are linked in: our library has to be preloaded
    unloadable,  // cannot load a backend at all, or is no llama.cpp program
};

struct host_build {
    std::string program;  // path
    host_kind kind = host_kind::unloadable;
    std::string ggml_library;  // the libggml-base that it uses; "" if none
    std::string ggml_version;  // what that library calls itself, "0.25.3"
    std::string ggml_commit;   // "0c1e57098"
    bool cuda = false;         // has llama.cpp's CUDA backend, linked in or beside it
    std::string problem;       // unloadable: why, and what to do

    std::string refusal() const;  // why it will not be served, as a sentence; "" if it will, as far as can be told
    std::string how() const;      // how it will, likewise
};

// `where`: a program's path, its name on PATH, or a folder that holds llama-server (or bin/llama-server). Nothing of
// the program is run: the dynamic loader lists what it would load, and its libggml-base is asked for its version.
host_build inspect_host(const std::string & where);

std::string backend_library();  // our libggml-trianglemix.so, beside this program
std::string preload_library();  // our libtrianglemix-preload.so, there too

}  // namespace tmx
