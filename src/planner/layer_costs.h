// planner/layer_costs.h -- what each layer's attention took in one prefill, as the backend's statistics tell it.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <vector>

#include "runtime/statistics.h"

namespace tmx {

struct layer_cost {
    double kept = 0;     // (query, key) pairs computed, over all heads
    double skipped = 0;  // ... and left out
    double seconds = 0;  // of attention with its selection; on a GPU of enqueueing it only
};

// [n_layer]. ERRORS failure: the statistics are not what docs/env.md says.
std::vector<layer_cost> layer_costs(const backend_statistics & s, int32_t n_layer);

// To and from the record file.
nlohmann::ordered_json costs_json(const std::vector<layer_cost> & costs);
std::vector<layer_cost> costs_of_json(const nlohmann::ordered_json & record);

layer_cost sum_of(const std::vector<layer_cost> & costs);
double kept_share(const std::vector<layer_cost> & costs);  // of all layers' pairs; 1 if there are none

}  // namespace tmx
