// eval/report/paired_records.h -- what is on file of a run, put together in pairs: one example, the reference's answer
// and another arm's.
#pragma once

#include <string>
#include <vector>

#include "eval/run/prediction.h"
#include "eval/run/settings.h"
#include "measure/record_store.h"

namespace tmx {

inline constexpr double k_points = 100;  // of a whole score

struct answer_pair {
    prediction reference;
    prediction other;

    double d() const { return other.score.value - reference.score.value; }
};

// Of an arm with a plan: it computed all pairs, so both answers are the same computation.
bool is_vacuous(const eval_arm & a, const answer_pair & pair);

// Of one arm against the reference, in the order of the records.
struct arm_pairs {
    const eval_arm * arm = nullptr;
    std::vector<answer_pair> answers;
    std::vector<record_store::json> fidelity;  // records of fidelity_stage.h
};

// keys: of the run (keys_of_run). Pairs of which one record is missing are left out.
// ERRORS failure: two records of a pair are about different token ids.
std::vector<arm_pairs> pair_records(const eval_settings & settings, const record_store & records,
                                    const std::vector<std::string> & keys);

}  // namespace tmx
