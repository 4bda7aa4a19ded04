// eval/run/run_eval.h -- a whole evaluation: what has no record yet is measured, in an order that leaves paired results
// whenever it is stopped.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "eval/run/settings.h"
#include "eval/task.h"
#include "measure/progress.h"
#include "measure/record_store.h"
#include "runtime/arm_models.h"

namespace tmx {

// The tasks that the settings name, without the fidelity suite, which asks nothing.
// ERRORS failure: no such suite, or what a task needs is not there.
std::vector<std::unique_ptr<eval_task>> open_tasks(const eval_settings & settings);
bool has_fidelity(const eval_settings & settings);

// Tokens of the context of each sequence.
int64_t context_of_run(const eval_settings & settings);

struct eval_progress {
    bool complete = false;  // false: the time limit was reached
    double seconds = 0;
};

// ERRORS failure; interrupted: what was measured is on file.
eval_progress run_eval(backend & b, arm_models & models, const eval_settings & settings,
                       const std::vector<std::unique_ptr<eval_task>> & tasks, record_store & records,
                       const progress_sink & sink);

// The keys of all records that the settings ask for, measured or not: what a report is about.
std::vector<std::string> keys_of_run(const eval_settings & settings,
                                     const std::vector<std::unique_ptr<eval_task>> & tasks);

}  // namespace tmx
