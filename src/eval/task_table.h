// eval/task_table.h -- the tasks there are.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "eval/task.h"

namespace tmx {

struct task_row {
    const char * suite;
    const char * name;
    // Reads what the task needs from the sources. ERRORS failure: a file is missing or wrong; says which and
    // what to do.
    std::unique_ptr<eval_task> (*open)(const eval_sources & sources, const char * name);
};

// In the order of reports: by suite, and in a suite as its authors list them.
const std::vector<task_row> & task_table();

// "ruler" is all tasks of a suite, "ruler/vt" one of them. ERRORS failure: there is none; lists what there is.
std::vector<const task_row *> find_tasks(const std::string & reference);

}  // namespace tmx
