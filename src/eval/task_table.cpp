#include "eval/task_table.h"

#include "eval/tasks/frequent_words.h"
#include "eval/tasks/made_questions.h"
#include "eval/tasks/needle_map.h"
#include "eval/tasks/niah.h"
#include "eval/tasks/variable_tracking.h"
#include "runtime/failure.h"

namespace tmx {

const std::vector<task_row> & task_table() {
    static const std::vector<task_row> table = {
        {"ruler", "niah_single_1", open_niah},
        {"ruler", "niah_single_2", open_niah},
        {"ruler", "niah_single_3", open_niah},
        {"ruler", "niah_multikey_1", open_niah},
        {"ruler", "niah_multikey_2", open_niah},
        {"ruler", "niah_multikey_3", open_niah},
        {"ruler", "niah_multivalue", open_niah},
        {"ruler", "niah_multiquery", open_niah},
        {"ruler", "vt", open_variable_tracking},
        {"ruler", "cwe", open_common_words},
        {"ruler", "fwe", open_coded_words},
        {"ruler", "qa_1_syn", open_made_questions},
        {"ruler", "qa_2_syn", open_made_questions},
        {"needle", "noise", open_needle_map},
        {"needle", "essay", open_needle_map},
        {"needle", "lines", open_needle_map},
    };
    return table;
}

std::vector<const task_row *> find_tasks(const std::string & reference) {
    const size_t slash = reference.find('/');
    const std::string suite = reference.substr(0, slash);
    std::vector<const task_row *> found;
    std::string known;
    for (const task_row & row : task_table()) {
        const bool named = slash == std::string::npos || reference.substr(slash + 1) == row.name;
        if (suite == row.suite && named) {
            found.push_back(&row);
        }
        known += std::string(known.empty() ? "" : ", ") + row.suite + "/" + row.name;
    }
    if (found.empty()) {
        throw failure("no task or suite of tasks is called " + reference + "; there are " + known);
    }
    return found;
}

}  // namespace tmx
