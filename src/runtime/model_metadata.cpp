#include "runtime/model_metadata.h"

#include <llama.h>

#include <charconv>

namespace tmx {

std::string metadata(const llama_model * model, const std::string & key) {
    const int32_t length = llama_model_meta_val_str(model, key.c_str(), nullptr, 0);
    if (length < 0) {
        return {};
    }
    std::string value(static_cast<size_t>(length) + 1, '\0');
    llama_model_meta_val_str(model, key.c_str(), value.data(), value.size());
    value.pop_back();
    return value;
}

int32_t metadata_number(const llama_model * model, const std::string & key, int32_t otherwise) {
    const std::string text = metadata(model, key);
    int32_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    return error == std::errc() && end == text.data() + text.size() ? value : otherwise;
}

}  // namespace tmx
