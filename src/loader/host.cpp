#include "loader/host.h"

#include <dlfcn.h>

#include <cstdio>

namespace tmx {
namespace {

// What this file knows of ggml by heart.
using version_t = const char * (*)();
using log_t = void (*)(int level, const char * format, ...);
constexpr int k_log_level_error = 4;  // GGML_LOG_LEVEL_ERROR, in every version that has levels

}  // namespace

host::host(const void * caller) {
    // A library that was opened by a program of another language (Python, say) shows its symbols to nobody but
    // itself; a handle of it finds them, and those of the libraries that it needs.
    Dl_info place;
    if (dladdr(caller, &place) != 0 && place.dli_fname != nullptr) {
        handle_ = dlopen(place.dli_fname, RTLD_NOW | RTLD_NOLOAD);
    }
    if (handle_ == nullptr) {
        handle_ = dlopen(nullptr, RTLD_NOW);  // the program itself
    }
}

host::~host() {
    if (handle_ != nullptr) {
        dlclose(handle_);
    }
}

void * host::symbol(const char * name) const {
    void * found = handle_ != nullptr ? dlsym(handle_, name) : nullptr;
    return found != nullptr ? found : dlsym(RTLD_DEFAULT, name);
}

std::string host::ggml_version() const {
    const auto version = reinterpret_cast<version_t>(symbol("ggml_version"));
    const char * text = version != nullptr ? version() : nullptr;
    return text != nullptr ? text : "";
}

void host::log_error(const std::string & line) const {
    if (const auto log = reinterpret_cast<log_t>(symbol("ggml_log_internal")); log != nullptr) {
        log(k_log_level_error, "TriangleMix: %s\n", line.c_str());
    } else {
        std::fprintf(stderr, "TriangleMix: %s\n", line.c_str());
    }
}

}  // namespace tmx
