#include "products/cuda/blas_library.h"

#include <dlfcn.h>

#include <array>

namespace tmx::cuda {
namespace {

constexpr std::array k_names = {"libcublas.so.13", "libcublas.so.12", "libcublas.so.11"};

// What is loaded wins: a second version beside it would take its own memory. It stays open until the process ends.
void * open_library() {
    for (const int also : {RTLD_NOLOAD, 0}) {
        for (const char * name : k_names) {
            if (void * library = dlopen(name, RTLD_NOW | RTLD_LOCAL | also)) {
                return library;
            }
        }
    }
    return nullptr;
}

template <class function>
void find(void * library, const char * name, function & found) {
    found = reinterpret_cast<function>(dlsym(library, name));
}

blas_library look_for_it() {
    blas_library blas;
    if (void * library = open_library()) {
        find(library, "cublasCreate_v2", blas.create);
        find(library, "cublasDestroy_v2", blas.destroy);
        find(library, "cublasSetStream_v2", blas.set_stream);
        find(library, "cublasGemmEx", blas.gemm);
    }
    return blas;
}

}  // namespace

const blas_library * find_blas() noexcept {
    static const blas_library found = look_for_it();
    return found.complete() ? &found : nullptr;
}

}  // namespace tmx::cuda
