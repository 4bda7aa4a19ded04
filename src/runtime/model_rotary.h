// runtime/model_rotary.h -- how a model's RoPE pairs the dimensions of its heads.
#pragma once

#include "runtime/model.h"
#include "trianglemix/rotary_layout.h"

namespace tmx {

// Unknown where llama.cpp turns dimensions in another way than rotary_layout.h can say, or not at all.
rotary_layout rotary_of(const model & m);

}  // namespace tmx
