#include "runtime/weight_types.h"

#include <ggml.h>
#include <gguf.h>

#include <memory>

namespace tmx {

bool any_quantised(const std::string & path) {
    const std::unique_ptr<gguf_context, void (*)(gguf_context *)> file(
        gguf_init_from_file(path.c_str(), {true, nullptr}), gguf_free);
    if (file == nullptr || gguf_find_key(file.get(), "split.count") >= 0) {
        return true;
    }
    for (int64_t i = 0; i < gguf_get_n_tensors(file.get()); ++i) {
        const ggml_type type = gguf_get_tensor_type(file.get(), i);
        if (type != GGML_TYPE_F32 && type != GGML_TYPE_F16 && type != GGML_TYPE_BF16) {
            return true;
        }
    }
    return false;
}

}  // namespace tmx
