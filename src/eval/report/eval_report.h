// eval/report/eval_report.h -- all that a report says: made once from the records, then shown as a page, as JSON lines
// and on the screen.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "eval/report/fidelity_results.h"
#include "eval/report/strata_results.h"
#include "eval/report/task_results.h"
#include "eval/report/throughput.h"
#include "profile/page/page_parts.h"
#include "runtime/model.h"

namespace tmx {

struct eval_report {
    const eval_settings & settings;
    model_facts facts;
    report_facts how;
    eval_margins margins;
    std::map<std::string, std::string> notes;  // "ruler/cwe" -> what a reader must know of the task
    std::vector<arm_pairs> pairs;              // one an arm, without the reference
    std::vector<scored_arm> arms;
    std::vector<fidelity_result> fidelity;
    std::vector<stratum_result> strata;  // by arm
    std::vector<throughput_result> throughput;
    int64_t n_missing = 0;  // records that the run asks for and that are not there yet
};

// ERRORS failure, as pair_records().
eval_report make_report(const eval_settings & settings, const model_facts & facts, const report_facts & how,
                        const eval_margins & margins, const std::vector<std::unique_ptr<eval_task>> & tasks,
                        const record_store & records, const std::vector<std::string> & keys);

// One object a line of results.jsonl: a suite, a task, a part of them, fidelity at one length, in one arm; and how much
// of the run's time went into prompts. Each has what it was measured with.
std::vector<nlohmann::ordered_json> result_rows(const eval_report & r);

// The whole page; nothing in it comes from elsewhere.
std::string report_html(const eval_report & r);

// The drawings of the page, also as files beside it.
std::vector<report_drawing> eval_drawings(const eval_report & r);

// Answers on which an arm and the reference differ in their score, at most n of them, drawn by a fixed seed.
std::vector<const answer_pair *> discordant_answers(const arm_pairs & pairs, size_t n);

// "-0.4 [-1.2, 0.3]"
std::string interval_text(const mean_difference & d, int digits);

}  // namespace tmx
