// plan/preset_texts.h -- the generated table of plans/*.json (embed_presets.cmake).
#pragma once

#include <vector>

#include "trianglemix/plan.h"

namespace tmx {

const std::vector<plan_preset> & preset_texts();

}  // namespace tmx
