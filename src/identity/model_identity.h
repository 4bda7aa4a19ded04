// identity/model_identity.h -- which model a GGUF file holds, as far as plans depend on it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "trianglemix/plan.h"

namespace tmx {

struct model_identity {
    std::string path;
    std::string name;          // GGUF general.name, may be empty
    std::string architecture;  // GGUF general.architecture
    int32_t n_layer = 0;
    int32_t n_head = 0;  // query heads a layer
    int32_t n_head_kv = 0;
    int32_t d_head = 0;            // key head dimension
    int32_t n_ctx_train = 0;       // longest context that it was trained for, tokens
    std::vector<int32_t> windows;  // as attention_windows() reads them
};

model_shape shape_of(const model_identity & model);

// From the file's metadata. What is a list there (one value a layer) is 0, so no plan is compared with it.
parsed<model_identity> read_identity(const std::string & path) noexcept;

}  // namespace tmx
