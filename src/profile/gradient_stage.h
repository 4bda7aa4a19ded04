// profile/gradient_stage.h -- the gradient probe over all prompts that choose, from the records or measured.
#pragma once

#include <vector>

#include "profile/prompt_pool.h"
#include "profile/record_store.h"
#include "profile/scores.h"
#include "profile/settings.h"
#include "profile/shared_probe.h"

namespace tmx {

// model_key: names the weights in records. ERRORS failure, interrupted.
std::vector<prompt_gradient> measure_gradients(const profile_settings & settings, const std::string & model_key,
                                               prompt_pool & prompts, record_store & records, shared_probe & probe,
                                               const progress_sink & sink);

// One JSON object: the record of a prompt, as in the record file.
record_store::json gradient_json(const prompt_gradient & g);

// The part of a record's key that says which pairs are in which section.
std::string key_of(const triangle_shape & shape);

}  // namespace tmx
