#include "cli/build_info.h"

namespace tmx {

const char * built_against() {
    return TMX_GGML_VERSION " (" TMX_GGML_COMMIT ")";
}
const char * default_model() {
    return TMX_DEFAULT_MODEL;
}
const char * default_llama() {
    return TMX_DEFAULT_LLAMA;
}

}  // namespace tmx
