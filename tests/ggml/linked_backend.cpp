// Stands for a llama.cpp build with linked-in backends: the process has a backend before main(), and before the
// constructor of a preloaded library.
#include <cstdlib>

#include "ggml-backend.h"

namespace {

__attribute__((constructor)) void register_cpu() {
    if (ggml_backend_load(TMX_LLAMA_BIN_FOLDER "/libggml-cpu.so") == nullptr) {
        std::abort();
    }
}

}  // namespace

extern "C" __attribute__((visibility("default"))) size_t linked_backend_count() {
    return ggml_backend_reg_count();
}
