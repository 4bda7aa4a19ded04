// eval/report/strata_results.h -- scores of examples that have something in common besides their task: the operations
// that a problem takes, a bucket of lengths, a group of tasks.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "eval/report/paired_records.h"
#include "measure/paired_statistics.h"

namespace tmx {

// In points, 0..100; of an area: points times operations.
struct stratum_result {
    std::string suite;
    std::string task;  // "": all of the suite's
    int64_t length = 0;
    std::string arm;
    std::string by;     // what the examples say of themselves: "op", "bucket", "group"
    std::string value;  // "3", "0-4k"; "": the area under the scores over `by`, by the trapezoidal rule
    int64_t n = 0;
    double reference = 0, other = 0;  // of several tasks the mean of their means
    mean_difference difference = {};

    bool is_area() const { return value.empty(); }
};

// By suite, task and length as they come; vacuous examples are left out. An area needs two different values.
std::vector<stratum_result> summarise_strata(const arm_pairs & pairs);

}  // namespace tmx
