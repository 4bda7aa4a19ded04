#include "probe/model_metadata.h"

namespace tmx {

std::optional<int64_t> metadata_integer(const gguf_context * file, const std::string & key) {
    const int64_t id = gguf_find_key(file, key.c_str());
    if (id < 0) {
        return std::nullopt;
    }
    switch (gguf_get_kv_type(file, id)) {
        case GGUF_TYPE_UINT8:
            return gguf_get_val_u8(file, id);
        case GGUF_TYPE_INT8:
            return gguf_get_val_i8(file, id);
        case GGUF_TYPE_UINT16:
            return gguf_get_val_u16(file, id);
        case GGUF_TYPE_INT16:
            return gguf_get_val_i16(file, id);
        case GGUF_TYPE_UINT32:
            return gguf_get_val_u32(file, id);
        case GGUF_TYPE_INT32:
            return gguf_get_val_i32(file, id);
        case GGUF_TYPE_UINT64:
            return static_cast<int64_t>(gguf_get_val_u64(file, id));
        case GGUF_TYPE_INT64:
            return gguf_get_val_i64(file, id);
        default:
            return std::nullopt;
    }
}

std::optional<float> metadata_float(const gguf_context * file, const std::string & key) {
    const int64_t id = gguf_find_key(file, key.c_str());
    if (id < 0) {
        return std::nullopt;
    }
    if (gguf_get_kv_type(file, id) == GGUF_TYPE_FLOAT32) {
        return gguf_get_val_f32(file, id);
    }
    if (gguf_get_kv_type(file, id) == GGUF_TYPE_FLOAT64) {
        return static_cast<float>(gguf_get_val_f64(file, id));
    }
    return std::nullopt;
}

std::optional<std::string> metadata_text(const gguf_context * file, const std::string & key) {
    const int64_t id = gguf_find_key(file, key.c_str());
    if (id < 0 || gguf_get_kv_type(file, id) != GGUF_TYPE_STRING) {
        return std::nullopt;
    }
    return std::string(gguf_get_val_str(file, id));
}

}  // namespace tmx
