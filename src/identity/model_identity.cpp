#include "identity/model_identity.h"

#include <new>

#include "identity/attention_windows.h"
#include "identity/gguf_header.h"

namespace tmx {
namespace {

int32_t small_number(const gguf_header & file, const std::string & key, int32_t otherwise) {
    if (!file.has(key)) {
        return otherwise;
    }
    const int64_t value = file.number(key).value_or(0);
    return value >= 0 && value <= INT32_MAX ? static_cast<int32_t>(value) : 0;
}

}  // namespace

model_shape shape_of(const model_identity & model) {
    return {model.architecture, model.n_layer, model.n_head, model.n_head_kv, model.d_head};
}

parsed<model_identity> read_identity(const std::string & path) noexcept {
    try {
        const parsed<gguf_header> read = gguf_header::read(path);
        if (!read.ok()) {
            return {{}, read.error};
        }
        const gguf_header & file = read.value;
        model_identity model;
        model.path = path;
        model.name = file.text("general.name");
        model.architecture = file.text("general.architecture");
        if (model.architecture.empty()) {
            return {{}, "cannot read the model file " + path + ": it names no architecture, so it holds no model"};
        }
        const std::string prefix = model.architecture + ".";
        model.n_layer = small_number(file, prefix + "block_count", 0);
        model.n_head = small_number(file, prefix + "attention.head_count", 0);
        model.n_head_kv = small_number(file, prefix + "attention.head_count_kv", model.n_head);
        const int32_t n_embd = small_number(file, prefix + "embedding_length", 0);
        model.d_head =
            small_number(file, prefix + "attention.key_length", model.n_head > 0 ? n_embd / model.n_head : 0);
        model.n_ctx_train = small_number(file, prefix + "context_length", 0);
        model.windows = attention_windows(file);
        return {std::move(model), ""};
    } catch (const std::exception &) {
        return {{}, "cannot read the model file: out of memory"};
    }
}

}  // namespace tmx
