// profile/profiler.h -- a whole profile: measure, order, choose, check; then the plan and all that a report shows.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "measure/progress.h"
#include "measure/rank_correlation.h"
#include "profile/ablation_stage.h"
#include "profile/scores.h"
#include "profile/selection.h"
#include "profile/set_stage.h"
#include "profile/settings.h"
#include "runtime/backend.h"
#include "runtime/model.h"
#include "trianglemix/plan.h"

namespace tmx {

// How well a gradient score predicts the measured damage of each unit: Spearman's correlation over units, with its
// interval over prompts.
struct score_quality {
    std::string score;
    interval rank_correlation;
};

struct profile_result {
    model_facts facts;
    std::string model_sha256;
    int64_t n_on_file = 0;                   // records that an earlier run left
    int64_t n_prompts = 0;                   // that choose
    int64_t measured_up_to = 0;              // tokens of the longest prompt that checked the choice, else that chose
    std::vector<unit> units;                 // all of the model
    std::vector<prompt_gradient> gradients;  // of the prompts that choose; empty without the gradient method
    ablation_result ablation;                // empty without ablation
    std::vector<double> unit_kl;             // mean first-token KL of each unit alone; empty without ablation
    std::vector<score_quality> qualities;    // with both methods
    ordered_units order;
    selection chosen;
    std::vector<measured_size> curve;                            // ascending sizes, on the prompts that choose
    std::vector<set_effect> check;                               // of the chosen set on held-out prompts
    std::vector<std::pair<std::string, set_effect>> yardsticks;  // on held-out prompts
    plan value;
};

std::span<const unit> chosen_units(const profile_result & r);

// Scores of all units by a gradient score; heads where units are heads.
std::vector<double> unit_scores(const profile_result & r, const score_kind & kind, section where);

// Measures what the records lack and chooses. REQUIRES our backend loaded; prompts that check_prompts() lets through; a
// score that the settings' method measures, or a given set; a count of at most all units.
// ERRORS failure, interrupted: what was measured is on file.
profile_result run_profile(const profile_settings & settings, backend & b, const model & m, const prompt_pool & prompts,
                           const progress_sink & sink);

// One JSON object a line: every measurement that the result rests on, gradients and sets.
std::string scores_jsonl(const profile_result & r);

}  // namespace tmx
