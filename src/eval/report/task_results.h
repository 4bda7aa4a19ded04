// eval/report/task_results.h -- scores of paired answers: by task and length, and by suite and length with a verdict.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "eval/report/paired_records.h"
#include "measure/paired_statistics.h"

namespace tmx {

// "Not worse by more than this", fixed before a run. Points are hundredths of a score.
struct eval_margins {
    double average = 1.0;      // points, a suite's average at one length
    double task = 3.0;         // points, one task
    double perplexity = 0.01;  // of the ratio of perplexities
    double flips = 0.02;       // of the share of positions, beyond the noise floor
};

// One task at one length in one arm. Scores in points, 0..100.
struct task_result {
    std::string suite, task;
    int64_t length = 0;
    std::string arm;
    std::string from;  // provenance
    int64_t n = 0;     // pairs that are not vacuous
    int64_t n_vacuous = 0;
    double reference = 0, other = 0;
    mean_difference difference;  // points
    int64_t b = 0, c = 0;        // examples on which the arm is worse, better
    double p = 1, p_holm = 1;
    bool uninformative = false;                         // at the floor or the ceiling, with next to no discordant pair
    double gold_nll_reference = 0, gold_nll_other = 0;  // mean, of examples with a gold text
    int64_t n_gold = 0;
    double tokens_reference = 0, tokens_other = 0;        // mean, of answers
    double not_found_reference = 0, not_found_other = 0;  // share of answers that could not be read
    double long_tail = 0;  // share of examples whose question is longer than the dense last rows
    verdict shown = verdict::inconclusive;
};

// A suite at one length in one arm.
struct suite_result {
    std::string suite;
    int64_t length = 0;
    std::string arm;
    int64_t n_tasks = 0, n = 0, n_vacuous = 0;
    double reference = 0, other = 0;                          // means of the tasks' means, points
    mean_difference difference;                               // points; mean of the tasks' means
    double p = 1;                                             // sign-flip
    double reference_informative = 0, other_informative = 0;  // without uninformative tasks
    double sparse_mean = 0, sparse_least = 0;   // share of a Triangle layer's pairs that prompts of this length lack
    double kept = 1;                            // share of the pairs of all layers that were computed
    double ttft_reference = 0, ttft_other = 0;  // medians, seconds
    double nothing_seen_bound = 0;              // upper 95% bound of the share of changed scores, where none changed
    std::string worst_task;
    double worst = 0;  // points
    verdict shown = verdict::inconclusive;
};

struct scored_arm {
    const eval_arm * arm = nullptr;
    std::vector<task_result> tasks;
    std::vector<suite_result> suites;
};

scored_arm score_arm(const arm_pairs & pairs, const eval_margins & margins);

}  // namespace tmx
