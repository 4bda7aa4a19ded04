// eval/run/fidelity_stage.h -- the suite that asks nothing: what an arm makes of the distributions behind a document
// that is cut anywhere. It needs no ability of the model, so it sees small damage first.
#pragma once

#include <cstdint>
#include <vector>

#include "eval/run/arm_sessions.h"
#include "measure/record_store.h"
#include "measure/stage_clock.h"

namespace tmx {

struct fidelity_prompt {
    std::vector<token_id> ids;        // BOS, and the document up to where it is cut
    std::vector<token_id> following;  // how it goes on
    std::string ids_hash;             // of `ids`
};

// The index-th document of that length. REQUIRES sources.essay not empty.
fidelity_prompt make_fidelity_prompt(const model & m, const eval_settings & settings, int64_t length, int64_t index);

// What of one length has no record yet, as stage_clock's weights.
double fidelity_weight(const eval_settings & settings, const record_store & records, int64_t length, int64_t index);

// Measures the prompt in all arms that have no record of it; the reference arm computes it, too.
void measure_fidelity(arm_sessions & sessions, const eval_settings & settings, record_store & records,
                      stage_clock & clock, int64_t length, int64_t index);

// The records' key; records of other keys are never taken for this.
std::string fidelity_key(const eval_settings & settings, const eval_arm & a, int64_t length, int64_t index);

}  // namespace tmx
