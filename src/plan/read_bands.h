// plan/read_bands.h -- triangle layers with a sink or window of their own: the file's "bands".
#pragma once

#include <string>

#include "plan/checked_json.h"
#include "trianglemix/plan.h"

namespace tmx {

// REQUIRES p.layers has all layers, and their kinds. `error` may hold one already: then nothing is read.
void read_bands(const json & value, plan & p, std::string & error);

// The same for writing; empty where no layer has its own.
json bands_to_json(const plan & p);

}  // namespace tmx
