// profile/gradient_stage.h -- the gradient probe over all prompts that choose, from the records or measured.
#pragma once

#include <vector>

#include "measure/progress.h"
#include "measure/record_store.h"
#include "probe/shared_probe.h"
#include "profile/record_keys.h"
#include "profile/scores.h"
#include "prompts/prompt_pool.h"

namespace tmx {

// Of what is not on file, as stage_clock::weight_of.
double weight_of_gradients(const record_keys & keys, const prompt_pool & prompts, record_store & records);

// ERRORS failure, interrupted.
std::vector<prompt_gradient> measure_gradients(const record_keys & keys, const prompt_pool & prompts,
                                               record_store & records, shared_probe & probe,
                                               const progress_sink & sink);

// One JSON object: the record of a prompt, as in the record file.
record_store::json gradient_json(const prompt_gradient & g);

}  // namespace tmx
