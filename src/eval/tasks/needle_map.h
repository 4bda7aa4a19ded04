// eval/tasks/needle_map.h -- one needle at chosen depths: where in a prompt a model, and a plan, still finds it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "eval/task.h"

namespace tmx {

// name: "noise", "essay" or "lines", what the needle is hidden in.
std::unique_ptr<eval_task> open_needle_map(const eval_sources & sources, const char * name);

// The rows of a map, from the beginning of a prompt to its end, as examples have them in meta["place"]. Example i is at
// place i modulo their number.
const std::vector<std::string> & needle_places();

}  // namespace tmx
