// runtime/model_metadata.h -- values that a model's file holds by name.
#pragma once

#include <cstdint>
#include <string>

struct llama_model;

namespace tmx {

std::string metadata(const llama_model * model, const std::string & key);  // "": it has none
int32_t metadata_number(const llama_model * model, const std::string & key, int32_t otherwise);

}  // namespace tmx
