#include "glue/running_ggml.h"

#include "glue/abi.h"

namespace tmx {

ggml_build running_ggml() {
    return {ggml_version(), ggml_commit()};
}

}  // namespace tmx
