// plan/read_dynamic.h -- layers whose blocks are selected: the file's "dynamic".
#pragma once

#include <string>

#include "plan/checked_json.h"
#include "trianglemix/plan.h"

namespace tmx {

// REQUIRES p.layers has all layers. `error` may hold one already: then nothing is read.
void read_dynamic(const json & value, plan & p, std::string & error);

}  // namespace tmx
