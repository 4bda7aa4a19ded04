// libtrianglemix-preload.so: for hosts with linked-in backends, which do not look at GGML_BACKEND_PATH. Named in
// LD_PRELOAD, it loads libggml-trianglemix.so from its own folder before main(). It needs no symbol of ggml, so that
// every other process that inherits LD_PRELOAD (a shell, say) starts as ever.
#include <dlfcn.h>

#include <cstddef>
#include <cstring>

namespace {

using reg_count_t = size_t (*)();
using load_t = void * (*)(const char * path);

constexpr char k_library[] = "libggml-trianglemix.so";

void register_backend();

__attribute__((constructor)) void on_load() {
    register_backend();
}

void register_backend() {
    const auto reg_count = reinterpret_cast<reg_count_t>(dlsym(RTLD_DEFAULT, "ggml_backend_reg_count"));
    const auto load = reinterpret_cast<load_t>(dlsym(RTLD_DEFAULT, "ggml_backend_load"));
    // No backend yet means a build that loads its backends itself; an early registration would keep its CPU backend
    // from loading. GGML_BACKEND_PATH is the way there.
    if (reg_count == nullptr || load == nullptr || reg_count() == 0) {
        return;
    }
    Dl_info self;
    if (dladdr(reinterpret_cast<void *>(&on_load), &self) == 0 || self.dli_fname == nullptr) {
        return;
    }
    char path[4096];
    const char * slash = std::strrchr(self.dli_fname, '/');
    const size_t folder = slash != nullptr ? static_cast<size_t>(slash - self.dli_fname) + 1 : 0;
    if (folder + sizeof(k_library) <= sizeof(path)) {
        std::memcpy(path, self.dli_fname, folder);
        std::memcpy(path + folder, k_library, sizeof(k_library));
        load(path);
    }
}

}  // namespace
