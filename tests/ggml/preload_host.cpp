// A host for the preload library: exits with 0 if the CPU backend is there and TriangleMix has as many devices as the
// argument says. Built twice: with a linked-in backend (linked_backend.cpp), and loading its backends like a DL build.
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "ggml-backend.h"

#ifdef TMX_LINKED
extern "C" size_t linked_backend_count();
#endif

int main(int argc, char ** argv) {
#ifdef TMX_LINKED
    if (linked_backend_count() == 0) {
        return 2;
    }
#else
    ggml_backend_load_all_from_path(TMX_LLAMA_BIN_FOLDER);
#endif
    const bool wants_device = argc > 1 && std::strcmp(argv[1], "1") == 0;
    if (ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU) == nullptr) {
        std::fputs("no CPU backend\n", stderr);
        return 3;
    }
    return (ggml_backend_dev_by_name("TriangleMix") != nullptr) == wants_device ? 0 : 1;
}
