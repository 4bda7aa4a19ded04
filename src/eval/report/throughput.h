// eval/report/throughput.h -- how much of a run's time went into prompts: what is left of the speed of prefill alone.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "measure/record_store.h"

namespace tmx {

// Answers of one suite and length, of all arms.
struct throughput_result {
    std::string suite;
    int64_t length = 0;
    int64_t n = 0;  // answers
    int64_t n_arms = 0;
    double prompt_tokens = 0;  // mean of an answer
    double answer_tokens = 0;
    double prefill_seconds = 0;  // sums
    double wall_seconds = 0;     // of the run, the making of examples and all else that lies between prompts included

    double prefill_share() const { return wall_seconds > 0 ? prefill_seconds / wall_seconds : 0; }
};

// In the order of the keys (keys_of_run); those without a record are left out.
// ERRORS nlohmann::json::exception: a record is not understood.
std::vector<throughput_result> throughput_of(const record_store & records, const std::vector<std::string> & keys);

}  // namespace tmx
